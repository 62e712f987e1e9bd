"""Object storage by obstore: a folder, S3, Google Cloud Storage or Azure, by its URL."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore.store


def is_folder(url: str) -> bool:
    """Whether a URL names a folder of this machine."""
    return "://" not in url or url.startswith("file:")


def folder_of(url: str) -> Path:
    """The folder that a URL names."""
    return Path(url.removeprefix("file://")).expanduser().absolute()


def open_objects(url: str) -> Any:
    """A storage: a path or file:///path, s3://bucket/prefix, gs:// or az://. Raises ValueError and OSError."""
    if is_folder(url):
        folder = folder_of(url)
        folder.mkdir(parents=True, exist_ok=True)
        url = folder.as_uri()
    bounded: dict[str, Any] = {"retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}}
    if url.startswith("file:"):
        bounded = {"mkdir": True}
    elif url.startswith("s3:"):
        bounded["client_options"] = {"timeout": "10s", "allow_http": True}
    try:
        return obstore.store.from_url(url, **bounded)
    except obstore.exceptions.BaseError as exc:
        raise ValueError(str(exc)) from None
