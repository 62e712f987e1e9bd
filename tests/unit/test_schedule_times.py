"""When a schedule is due, in any time zone."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import ValidationError

from sio_server.gateway.api.models import ScheduleMessage
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


@pytest.mark.parametrize(
    ("cron", "timezone"),
    [
        ("61 * * * *", "UTC"),
        ("* * *", "UTC"),
        ("* * * * * *", "UTC"),
        ("*/5 0 9 * * *", "UTC"),
        ("* * * * *", "Nowhere"),
    ],
)
def test_what_is_no_time_is_refused_in_words(cron: str, timezone: str) -> None:
    with pytest.raises(ValueError, match="write"):
        next_ms(cron, timezone, 0)


@pytest.mark.parametrize(
    ("at", "is_taken"),
    [
        ("0001-01-01T00:00:00+14:00", False),
        ("9999-12-31T23:59:59-14:00", False),
        ("3000-01-01T00:00:00Z", False),
        ("1969-12-31T23:59:59Z", False),
        ("1970-01-01T00:00:00Z", True),
        ("2999-12-31T23:59:59.999999Z", True),
        ("2026-12-01T18:00:00+01:00", True),
    ],
)
def test_a_time_that_cannot_be_told_in_utc_is_refused(at: str, is_taken: bool) -> None:
    body = f'{{"text": "x", "at": "{at}"}}'
    if is_taken:
        scheduled = ScheduleMessage.model_validate_json(body)
        assert scheduled.at is not None
        assert iso(round(scheduled.at.timestamp() * 1000)).endswith("Z")
    else:
        with pytest.raises(ValidationError, match="1970"):
            ScheduleMessage.model_validate_json(body)
