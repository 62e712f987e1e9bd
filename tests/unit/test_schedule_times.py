"""When a schedule is due, in any time zone."""

from __future__ import annotations

from datetime import datetime

import pytest

from sio_server.gateway.api.schedule_times import iso, next_ms


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("cron", "timezone", "after", "due"),
    [
        ("0 9 * * 1-5", "UTC", "2026-11-27T09:00:00+00:00", "2026-11-30T09:00:00.000Z"),
        ("0 9 * * *", "Europe/Berlin", "2026-11-27T08:30:00+00:00", "2026-11-28T08:00:00.000Z"),
        ("*/15 * * * *", "UTC", "2026-11-27T08:29:59.999+00:00", "2026-11-27T08:30:00.000Z"),
        ("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00+00:00", "2027-03-28T01:00:00.000Z"),  # it is skipped
    ],
)
def test_a_cron_expression_means_the_next_such_time_in_its_zone(
    cron: str, timezone: str, after: str, due: str
) -> None:
    found = next_ms(cron, timezone, ms(after))
    assert found is not None
    assert iso(found) == due


@pytest.mark.parametrize(("cron", "timezone"), [("61 * * * *", "UTC"), ("* * *", "UTC"), ("* * * * *", "Nowhere")])
def test_what_is_no_time_is_refused_in_words(cron: str, timezone: str) -> None:
    with pytest.raises(ValueError, match="write"):
        next_ms(cron, timezone, 0)
