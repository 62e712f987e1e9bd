"""Checks what clients sent and received against the promises of one log per conversation."""

from roomgraph.check.anomalies import Anomaly, AnomalyKind
from roomgraph.check.checker import PROMISES, Report, check
from roomgraph.check.history import (
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
from roomgraph.check.recorder import Recorder

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
