"""Functions that make graphs: what they are called with, and what is made of what they return."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, get_args, get_type_hints

from langgraph.graph.state import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore, Op, Result

from sio_server.dialog.graphs.contexts import ContextSchema
from sio_server.dialog.graphs.problems import BadGraph, remedy, told

ADVICE = "Let it take nothing, a RunnableConfig, a ServerRuntime, or both"


class LateStore(BaseStore):
    """The store of the deployment, for factories that are called before there is one."""

    def __init__(self) -> None:
        self.store: BaseStore | None = None

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return self._there().batch(ops)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await self._there().abatch(ops)

    def _there(self) -> BaseStore:
        if self.store is None:
            raise RuntimeError(
                "the store is not there yet: use it in the graph's nodes, not while the graph is made"
            )
        return self.store


async def make_graph(found: Any, where: str, opened: contextlib.AsyncExitStack, store: BaseStore) -> Any:
    """The graph itself, or what the factory found instead of it makes.

    Raises BadGraph, whatever the factory raises.
    """
    if isinstance(found, (StateGraph, Pregel)) or not callable(found):
        return found
    try:
        made = found(**_arguments(found, where, store))
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, contextlib.AbstractAsyncContextManager):
            made = await opened.enter_async_context(made)
        elif isinstance(made, contextlib.AbstractContextManager):
            made = opened.enter_context(made)
    except (BadGraph, asyncio.CancelledError):
        raise
    except BaseException as exc:
        raise BadGraph(f"{where}: the function raised {told(exc)}. {remedy(None)}") from exc
    return made


def _arguments(factory: Callable[..., Any], where: str, store: BaseStore) -> dict[str, Any]:
    """What to call a factory with: a config, LangGraph's ServerRuntime, or nothing."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except ValueError:  # some classes in C have no signature
        return {}
    hints = _hints(factory)
    given: dict[str, Any] = {}
    for item in parameters:
        if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD):
            continue
        annotation = hints.get(item.name, item.annotation)
        if "ServerRuntime" in str(annotation) or "_ExecutionRuntime" in str(annotation):
            given[item.name] = _runtime(annotation, where, store)
        elif item.default is not item.empty:
            continue
        elif "config" in item.name.lower() or "RunnableConfig" in str(annotation) or len(parameters) == 1:
            given[item.name] = {"configurable": {}}
        else:
            raise BadGraph(f"{where}: the function needs {item.name}, which is not known here. {ADVICE}")
        if item.kind is item.POSITIONAL_ONLY:
            raise BadGraph(f"{where}: the function takes {item.name} by its position only. {ADVICE}")
    return given


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(factory)
    except Exception:  # names that are there for type checkers only, or no function
        return {}


def _runtime(annotation: Any, where: str, store: BaseStore) -> Any:
    """What LangGraph's own server gives to a factory that is called to execute a run, without a user."""
    try:
        from langgraph_sdk.runtime import _ExecutionRuntime
    except ImportError:
        raise BadGraph(
            f"{where}: this langgraph-sdk has no ServerRuntime. Run pip install -U langgraph-sdk"
        ) from None
    context = None
    for argument in get_args(annotation):
        with contextlib.suppress(Exception):
            context = ContextSchema(argument).make(None)  # its defaults: it is called once, for all conversations
    return _ExecutionRuntime(access_context="threads.create_run", user=None, store=store, context=context)
