"""What the gateway knows of the graphs is that of the dialog's last build."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sio_server.wiring import Dialog


def test_lists_that_were_handed_out_follow_a_later_build() -> None:
    dialog = Dialog.__new__(Dialog)
    dialog.graphs, dialog.titles, dialog.context_checks = [], {}, {}
    handed_out = (dialog.graphs, dialog.titles, dialog.context_checks)

    def built(default: str, **titles: str) -> Any:
        checks = dict.fromkeys(titles, print)
        return SimpleNamespace(default=default, names=list(titles), titles=titles, context_checks=checks)

    dialog._tell(cast(Any, built("one", two="Two", one="One")))
    dialog._tell(cast(Any, built("three", one="Uno", three="Three")))
    assert handed_out == (
        ["three", "one"],
        {"one": "Uno", "three": "Three"},
        {"one": print, "three": print},
    )
