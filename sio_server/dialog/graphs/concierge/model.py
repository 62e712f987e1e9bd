"""A chat model that says a given text word by word, so the reply streams as an LLM's would."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

# Chinese has no spaces to break at; its full-width punctuation goes with the characters.
CJK = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
WORD = re.compile(rf"[{CJK}]{{1,2}}|[^\s{CJK}]+[^\S\u3000]*|\s+")

REASONING = "reasoning_content"


def words(text: str) -> list[str]:
    """Cut a text into words, or pairs of Chinese characters, that joined are the text again."""
    return WORD.findall(text) or [""]


def chunks(message: BaseMessage) -> Iterator[AIMessageChunk]:
    """What a message says, in chunks of a word; what it thinks comes before."""
    if thought := thought_of(message):
        for word in words(thought):
            yield AIMessageChunk(content="", additional_kwargs={REASONING: word})
    for word in words(text_of(message)):
        yield AIMessageChunk(content=word)


class SpokenReply(BaseChatModel):
    """Answers with the text of the last message it is given, at a pace one can read along with."""

    word_delay: float = 0.02

    @property
    def _llm_type(self) -> str:
        return "spoken-reply"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in chunks(messages[-1]):
            yield ChatGenerationChunk(message=chunk)
            time.sleep(self.word_delay)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in chunks(messages[-1]):
            yield ChatGenerationChunk(message=chunk)
            # Also with no delay: other rooms get their turn between two words.
            await asyncio.sleep(self.word_delay)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return whole(messages)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return whole(messages)


def whole(messages: list[BaseMessage]) -> ChatResult:
    """The reply in one piece: where nobody reads along there is nothing to wait for."""
    thought = thought_of(messages[-1])
    about = {REASONING: thought} if thought else {}
    message = AIMessage(content=text_of(messages[-1]), additional_kwargs=about)
    return ChatResult(generations=[ChatGeneration(message=message)])


def thought_of(message: BaseMessage) -> str:
    """What a message thinks, in the form in which many models give their reasoning."""
    return str(message.additional_kwargs.get(REASONING, ""))


def text_of(message: BaseMessage) -> str:
    """The text of a message as a plain string, not the subclass langchain wraps it in."""
    return str(message.text)
