"""Histories as files, written and read line by line."""

from pathlib import Path

from roomgraph.check.history import History
from roomgraph.check.lines import lines_of
from roomgraph.check.parsing import BadHistory, HistoryReader

__all__ = ["BadHistory", "read_history", "write_history"]


def write_history(path: Path, history: History) -> None:
    """Write a history to a file. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(lines_of(history))


def read_history(path: Path) -> History:
    """Read a history from a file. Raises BadHistory or OSError."""
    reader = HistoryReader()
    with path.open("rb") as file:
        for line in file:
            reader.add(line)
    return reader.history()
