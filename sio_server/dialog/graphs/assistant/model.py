"""The chat model: made from its name, and listened to chunk by chunk with a limit on its silence."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from langchain_core.runnables import Runnable, RunnableConfig

from sio_server.dialog.graphs.assistant.state import MOST_CALLS

# What in an answer's metadata says that this is its end, by the package of the model's class or of its bases.
ENDED_BY = {
    "langchain_anthropic": ("stop_reason",),
    "langchain_ollama": ("done_reason",),
    "langchain_openai": ("finish_reason", "status"),
}


class NoModel(ValueError):
    """The model cannot be made; the message is for people and says what to do."""


class ModelStalled(Exception):
    """The model said nothing for too long."""


class ModelCutOff(Exception):
    """The model's answer has no end: the connection to it was lost on the way."""


class ModelSaidNothing(Exception):
    """The model's answer is empty."""


def chat_model(name: str) -> BaseChatModel:
    """The chat model called `provider:model`, or `provider/model`. Raises NoModel."""
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise NoModel(
            "the assistant needs packages that are not installed. Run pip install 'roomgraph[assistant]'"
        ) from None
    if ":" not in name.partition("/")[0]:
        name = name.replace("/", ":", 1)  # as LangGraph's templates write it
    if not name.partition(":")[2] and ":" in name:
        raise NoModel("it names no model. Write provider:model, such as openai:gpt-4o-mini or ollama:llama3.2")
    try:
        # No retries of the client's own: a run that failed is tried again as a whole.
        model = init_chat_model(name, max_retries=0)
    except ImportError as exc:
        raise NoModel(f"its provider's package is not installed. {_sentence(exc)}") from None
    except Exception as exc:
        # Each provider has errors of its own for a missing key, and not all have a common base.
        raise NoModel(
            f"it cannot be used ({_sentence(exc)}). Write provider:model, such as openai:gpt-4o-mini or "
            "ollama:llama3.2, and set the provider's key, such as OPENAI_API_KEY"
        ) from exc
    if "stream_chunk_timeout" in type(model).model_fields:
        model.stream_chunk_timeout = None  # type: ignore[attr-defined]  # one limit on silence: listen's
    return model


def _sentence(error: Exception) -> str:
    """The first sentence of an error, which may go on over pages."""
    first = str(error).strip().splitlines()
    return first[0].rstrip(".")[:200] if first else type(error).__name__


def ended_by(model: BaseChatModel) -> tuple[str, ...]:
    """The metadata of which one must have come with a whole answer; none for a provider that is not known."""
    packages = (kind.__module__.partition(".")[0] for kind in type(model).__mro__)
    return next((ENDED_BY[package] for package in packages if package in ENDED_BY), ())


async def listen(
    model: Runnable[LanguageModelInput, Any],
    messages: Sequence[BaseMessage],
    config: RunnableConfig,
    *,
    silence: float,
    ends: tuple[str, ...],
) -> AIMessage:
    """The model's whole answer, which has one of `ends` in its metadata.

    Raises ModelStalled after `silence` seconds without a chunk, and ModelCutOff. The client's own timeouts
    count the bytes of a connection, and a proxy that sends keep-alive comments keeps a dead model's connection
    alive; here chunks count.
    """
    whole: AIMessageChunk | None = None
    stream = model.astream(list(messages), config)
    try:
        while True:
            async with asyncio.timeout(silence):
                chunk = await anext(stream, None)
            if chunk is None:
                break
            whole = chunk if whole is None else whole + chunk
    except TimeoutError:
        # Not a TimeoutError to the caller: that would be taken for the end of the run's own time.
        raise ModelStalled(f"the model said nothing for {silence:g} s") from None
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
    if whole is None or (ends and not any(whole.response_metadata.get(end) for end in ends)):
        # A stream may close as it should and be half an answer: a proxy does so that has lost the model.
        raise ModelCutOff("the model's answer broke off")
    return _as_message(whole)


def _as_message(whole: AIMessageChunk) -> AIMessage:
    """The message for the state: with calls that can each be answered, and not too many of them."""
    # Made of the chunks: LangChain's own reading completes arguments that broke off, and 12 people become 1.
    calls = [(call["name"] or "", _arguments(call["args"]), call["id"]) for call in whole.tool_call_chunks]
    as_said = len(calls) <= MOST_CALLS and all(args is not None for _, args, _ in calls)
    return AIMessage(
        # Some providers repeat the calls in the content, which must not have others than the message.
        content=whole.content if as_said else whole.text,
        tool_calls=[
            # Without its arguments a call is answered with what is missing.
            ToolCall(name=name, args=args or {}, id=call_id or f"{whole.id}-{place}")
            for place, (name, args, call_id) in enumerate(calls[:MOST_CALLS])
        ],
        id=whole.id,
        additional_kwargs={name: value for name, value in whole.additional_kwargs.items() if name != "tool_calls"},
        response_metadata=whole.response_metadata,
        usage_metadata=whole.usage_metadata,
    )


def _arguments(written: str | None) -> dict[str, Any] | None:
    """The arguments of a call, or None when they are not the JSON of an object."""
    try:
        args = json.loads(written or "{}")
    except ValueError:
        return None
    return args if isinstance(args, dict) else None
