"""Why a cluster on this machine cannot be started."""

from __future__ import annotations

from sio_server.language import load_texts


class ClusterError(RuntimeError):
    """The cluster cannot be started; `problem` names the text that says why and what to do."""

    def __init__(self, problem: str, **values: object) -> None:
        super().__init__(load_texts("en", "sio_server.local", "up")(problem, **values))
        self.problem = problem
        self.values = values
