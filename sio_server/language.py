"""Which language the terminal speaks, and texts in both."""

from __future__ import annotations

import os
from collections.abc import Mapping

LANGUAGES = ("en", "zh")


def detect_language(environ: Mapping[str, str] = os.environ) -> str:
    """`zh` when the locale is Chinese, otherwise `en`."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return "zh" if environ[name].lower().startswith("zh") else "en"
    return "en"


class Texts:
    """Texts by name, each in all LANGUAGES; `texts("name", port=9000)` fills in."""

    def __init__(self, language: str, catalogue: Mapping[str, Mapping[str, str]]) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, name: str, /, **values: object) -> str:
        return self._catalogue[name][self.language].format(**values)
