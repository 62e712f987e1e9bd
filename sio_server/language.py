"""The language of the terminal, and texts in it from the JSON catalogues in the folder `words` of a package."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "zh")


def detect_language(environ: Mapping[str, str] = os.environ) -> str:
    """`zh` when the locale is Chinese, otherwise `en`."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return "zh" if environ[name].lower().startswith("zh") else "en"
    return "en"


class Texts:
    """Texts by name in one language; `texts("name", port=9000)` fills in the placeholders.

    A name that is not in the catalogue, and a placeholder without a value, raise KeyError.
    """

    def __init__(self, language: str, catalogue: Mapping[str, str]) -> None:
        self.language = language
        self._catalogue = catalogue

    def __call__(self, name: str, /, **values: object) -> str:
        return self._catalogue[name].format(**values)


def load_texts(language: str, package: str, section: str) -> Texts:
    """The texts of one section, such as a command, of the catalogues in the folder `words` of a package."""
    return Texts(language, _read_catalogue(language, package)[section])


@cache
def _read_catalogue(language: str, package: str) -> dict[str, dict[str, str]]:
    text = (files(package) / "words" / f"{language}.json").read_text(encoding="utf-8")
    catalogue: dict[str, dict[str, str]] = json.loads(text)
    return catalogue
