"""The names of what can go wrong."""

from dataclasses import dataclass
from enum import StrEnum

from roomgraph.check.history import Seen, Send


class AnomalyKind(StrEnum):
    """What can go wrong; the function of the same name in lower case states the promise that was broken."""

    LOST_ACKED = "lost_acked"
    ACK_CHANGED = "ack_changed"
    PHANTOM = "phantom"
    NOT_DENSE = "not_dense"
    DUPLICATE_IN_LOG = "duplicate_in_log"
    INVENTED = "invented"
    DELIVERED_TWICE = "delivered_twice"
    OUT_OF_ORDER = "out_of_order"
    SKIPPED = "skipped"
    MISSING_AT_END = "missing_at_end"
    DIFFERS = "differs"
    RESET_IN_VAIN = "reset_in_vain"
    SEND_ORDER = "send_order"
    REAL_TIME = "real_time"
    RUN_NOT_ENDED = "run_not_ended"
    RUN_ENDED_TWICE = "run_ended_twice"
    STALE_END = "stale_end"
    STEP_REPEATED = "step_repeated"
    DEAD_TEXT = "dead_text"
    TEXT_LEFT = "text_left"
    TEXT_DIFFERS = "text_differs"
    HEARD_AFTER_LEAVING = "heard_after_leaving"
    UNINVITED = "uninvited"
    SIGNED_OUT_SERVED = "signed_out_served"
    SHUT_OUT = "shut_out"
    ANSWERED_TWICE = "answered_twice"
    REPLACES_OTHER = "replaces_other"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One broken promise: where, for whom (None: the log itself), and a sentence for people."""

    kind: AnomalyKind
    conversation_id: str
    device: str | None
    seq: int | None
    request_id: str | None
    detail: str
    run_id: str | None = None


def of_send(kind: AnomalyKind, send: Send, seq: int | None, detail: str) -> Anomaly:
    """It is about a send."""
    return Anomaly(kind, send.conversation_id, send.device, seq, send.request_id, detail)


def of_entry(kind: AnomalyKind, where: str, device: str | None, entry: Seen, detail: str) -> Anomaly:
    """It is about an entry, in the log or on a device."""
    return Anomaly(kind, where, device, entry.seq, entry.request_id, detail, entry.run_id)
