"""Schedules: a message at a time, or again and again, with or without a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sio_server.conversation.schedules import Scheduled, Schedules
from sio_server.gateway.api import answers, models
from sio_server.gateway.api.endpoints import Call, Endpoint
from sio_server.gateway.api.schedule_times import iso, next_ms
from sio_server.protocol.errors import ErrorCode, Refused


class ScheduleEndpoints:
    """The handlers; each returns its answer."""

    def __init__(self, schedules: Schedules, now: Callable[[], float]) -> None:
        """`now`: Redis' time in seconds."""
        self._schedules = schedules
        self._now = now

    def endpoints(self) -> list[Endpoint]:
        every = "/conversations/{conversation_id}/schedules"
        return [
            Endpoint(
                *("POST", every, self.schedule_message, answers.MessageScheduled),
                takes=models.ScheduleMessage,
                status=201,
            ),
            Endpoint("GET", every, self.list_schedules, answers.SchedulesListed),
            Endpoint("DELETE", every + "/{schedule_id}", self.drop_schedule, answers.ScheduleDropped),
        ]

    async def schedule_message(self, call: Call, body: models.ScheduleMessage) -> dict[str, Any]:
        """Schedule a message: at a time, or again and again."""
        at = None if body.at is None else round(body.at.timestamp() * 1000)
        due_ms = at
        if body.cron is not None:
            due_ms = next_ms(body.cron, body.timezone, int(self._now() * 1000))
        if due_ms is None:
            raise Refused(ErrorCode.INVALID_PAYLOAD, "cron: there is no such time")
        record = {
            "text": body.text,
            "run": body.run,
            "at": None if at is None else iso(at),
            "cron": body.cron,
            "timezone": body.timezone,
        }
        schedule_id = await self._schedules.put(
            call.conversation_id, call.author, max(due_ms, 1), record, call.identify()
        )
        return {"conversation_id": call.conversation_id, "schedule_id": schedule_id, "next": iso(due_ms)}

    async def list_schedules(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """List what is scheduled, and what was refused when it was due."""
        found = await self._schedules.read(call.conversation_id, call.author.user_id)
        return {"conversation_id": call.conversation_id, "schedules": [_told(one) for one in found]}

    async def drop_schedule(self, call: Call, query: models.Nothing) -> dict[str, Any]:
        """Drop a schedule: nothing more comes of it."""
        schedule_id = call.path["schedule_id"]
        dropped = await self._schedules.drop(
            call.conversation_id, call.author.user_id, schedule_id, call.identify()
        )
        return {"conversation_id": call.conversation_id, "schedule_id": schedule_id, "dropped": dropped}


def _told(one: Scheduled) -> dict[str, Any]:
    told = {name: one.record[name] for name in ("user_id", "name", "text", "run", "at", "cron", "timezone")}
    return {
        "schedule_id": one.schedule_id,
        "next": None if one.due_ms is None else iso(one.due_ms),
        **told,
        "problem": one.record.get("problem"),
    }
