"""When a schedule is due: at a time, or by a cron expression in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MAX_CRON = 100  # characters
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(3000, 1, 1, tzinfo=UTC)
_WRITE_FIVE = "write five fields such as 0 9 * * 1-5"


def zone(name: str) -> ZoneInfo:
    """The time zone of this name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError(
            "no time zone of this name is known here; write one such as UTC or Europe/Berlin"
        ) from None


def check_time(at: datetime) -> datetime:
    """A time that can be kept and told in any offset. Raises ValueError."""
    if not FIRST <= at < END:
        raise ValueError(f"should be from {FIRST:%Y} up to {END:%Y}")
    return at


def next_ms(cron: str, timezone: str, after_ms: int) -> int | None:
    """The first time after `after_ms` (ms since 1970) that the expression means, or None. Raises ValueError."""
    if len(cron.split()) != 5:  # the library takes a sixth one for seconds
        raise ValueError(f"this has not five fields; {_WRITE_FIVE}")
    after = datetime.fromtimestamp(after_ms / 1000, zone(timezone))
    try:
        found = next(CronSim(cron, after), None)
    except CronSimError as exc:
        raise ValueError(f"{str(exc)[:MAX_CRON]}; {_WRITE_FIVE}") from None
    return None if found is None else round(found.timestamp() * 1000)


def iso(ms: int) -> str:
    """A time as it is told."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
