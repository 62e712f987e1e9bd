"""Checks what clients sent and received against the promises of one log per conversation."""

from sio_clients.check.anomalies import Anomaly, AnomalyKind
from sio_clients.check.checker import PROMISES, Report, check
from sio_clients.check.history import (
    Acked,
    Damage,
    DeviceView,
    Execution,
    History,
    Outcome,
    Run,
    RunView,
    Seen,
    Send,
    Shown,
)
from sio_clients.check.recorder import Recorder

__all__ = [
    "PROMISES",
    "Acked",
    "Anomaly",
    "AnomalyKind",
    "Damage",
    "DeviceView",
    "Execution",
    "History",
    "Outcome",
    "Recorder",
    "Report",
    "Run",
    "RunView",
    "Seen",
    "Send",
    "Shown",
    "check",
]
