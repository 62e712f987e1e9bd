"""Checks what clients sent and received against the promises of one log per conversation."""

from roomgraph.check.anomalies import Anomaly, AnomalyKind
from roomgraph.check.checker import PROMISES, Report, check
from roomgraph.check.history import (
    Absence,
    Acked,
    Damage,
    DeviceView,
    Execution,
    History,
    Invitation,
    Outcome,
    Retention,
    Run,
    RunView,
    Seen,
    Send,
    Session,
    Shown,
    SignOut,
)
from roomgraph.check.recorder import Recorder

__all__ = [
    "PROMISES",
    "Absence",
    "Acked",
    "Anomaly",
    "AnomalyKind",
    "Damage",
    "DeviceView",
    "Execution",
    "History",
    "Invitation",
    "Outcome",
    "Recorder",
    "Report",
    "Retention",
    "Run",
    "RunView",
    "Seen",
    "Send",
    "Session",
    "Shown",
    "SignOut",
    "check",
]
