"""Checks what clients sent and received against the promises of one log per conversation."""

from sio_clients.check.checker import PROMISES, Anomaly, AnomalyKind, Report, check
from sio_clients.check.history import DeviceView, History, Outcome, Recorder, Seen, Send

__all__ = [
    "PROMISES",
    "Anomaly",
    "AnomalyKind",
    "DeviceView",
    "History",
    "Outcome",
    "Recorder",
    "Report",
    "Seen",
    "Send",
    "check",
]
