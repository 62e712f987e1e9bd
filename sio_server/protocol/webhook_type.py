"""The types of messages that webhooks send."""

from __future__ import annotations

from enum import StrEnum


class WebhookType(StrEnum):
    """What a message is about: an entry of a log, or the end of one."""

    ENTRY_APPENDED = "entry.appended"
    RUN_ENDED = "run.ended"
    QUESTION_ASKED = "question.asked"
    CONVERSATION_DELETED = "conversation.deleted"
