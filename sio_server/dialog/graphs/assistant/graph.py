"""The assistant's turn as a graph: think, carry out the calls, and think again until there is an answer."""

import logging

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt

from sio_server.dialog.graphs.assistant import prompts
from sio_server.dialog.graphs.assistant.history import for_model, language_of, last_speaker
from sio_server.dialog.graphs.assistant.model import ModelSaidNothing, ended_by, listen
from sio_server.dialog.graphs.assistant.state import MOST_STEPS, AssistantState, Task, steps_of_turn
from sio_server.dialog.graphs.assistant.tools import TOOLS, RoomRequest, acts, booking, read, result
from sio_server.dialog.titles import set_title, title_of

log = logging.getLogger(__name__)


def builder(
    model: BaseChatModel, model_timeout: float = 60.0, *, titles: bool = False
) -> StateGraph[AssistantState]:
    """The graph around a model, which may be silent for `model_timeout` seconds, for the server to compile.

    `titles`: it also asks the model what to call the conversation, beside the first answer.
    """
    with_tools, ends = model.bind_tools(TOOLS), ended_by(model)
    silent = model.with_config(tags=["nostream"])

    async def think(state: AssistantState, config: RunnableConfig) -> AssistantState:
        """Let the model speak: an answer, or calls of tools."""
        messages = state.get("messages", [])
        if steps_of_turn(messages) >= MOST_STEPS:
            return {"messages": [AIMessage(content=prompts.GAVE_UP[language_of(messages)])]}
        system = SystemMessage(content=prompts.system_prompt(state.get("bookings", [])))
        given = [system, *for_model(messages)]
        said = await listen(with_tools, given, config, silence=model_timeout, ends=ends)
        if not said.text and not said.tool_calls and not isinstance(messages[-1], ToolMessage):
            # It is not kept, so that another attempt asks again. After a tool's result small models often have
            # nothing to add; then that result is the answer.
            raise ModelSaidNothing("the model's answer is empty")
        return {"messages": [said]}

    async def name(state: AssistantState, config: RunnableConfig) -> AssistantState:
        """Let the model give the conversation a title. No answer is lost if it does not."""
        asked = [SystemMessage(content=prompts.TITLE), *for_model(state["messages"])]
        try:
            said = await listen(silent, asked, config, silence=model_timeout, ends=ends)
        except Exception:  # whatever a provider raises
            log.info("the model gave no title", exc_info=True)
        else:
            set_title(title_of(said.text.strip().strip('"')))
        return {}

    def begin(state: AssistantState) -> list[str]:
        """Think; in the first turn the conversation is named beside that."""
        is_first = sum(isinstance(message, HumanMessage) for message in state["messages"]) == 1
        return ["think", "name"] if titles and is_first else ["think"]

    graph = StateGraph(AssistantState)
    graph.add_node("think", think)
    if titles:
        graph.add_node("name", name)
    graph.add_node("look_up", look_up, input_schema=Task)
    graph.add_node("act", act, input_schema=Task)
    graph.add_conditional_edges(START, begin, ["think", "name"] if titles else ["think"])
    graph.add_conditional_edges("think", next_tasks, ["look_up", "act", END])
    graph.add_edge("look_up", "think")
    graph.add_edge("act", "think")
    return graph


def next_tasks(state: AssistantState) -> list[Send] | str:
    """One task for each call, so that each is asked about, and carried out, by itself."""
    messages = state["messages"]
    said = messages[-1]
    if not isinstance(said, AIMessage) or not said.tool_calls:
        return END
    user, language = last_speaker(messages), language_of(messages)
    return [
        Send(
            "act" if acts(call) else "look_up",
            # Some providers number their calls from the start in each message, so the message's id goes with it.
            Task(call=call, key=f"{said.id}:{call['id']}", user=user, language=language),
        )
        for call in said.tool_calls
    ]


async def look_up(state: Task) -> AssistantState:
    """Carry out a call that only reads; nobody is asked."""
    return {"messages": [await read(state["call"])]}


async def act(state: Task) -> AssistantState:
    """Carry out a call that acts, if people approve.

    This node runs from its beginning again when the answer has come, and once more if its node died then. The
    booking is part of the same checkpoint as the model being told of it, and its key lets it in once.
    """
    call = state["call"]
    request = RoomRequest.model_validate(call["args"])
    args = request.model_dump()  # what people are shown is what is carried out
    rejected = prompts.rejection(interrupt(prompts.approval(state["language"], call["name"], args)))
    if rejected is not None:
        return {"messages": [result(call, rejected)]}
    made = booking(state, request)
    told = prompts.BOOKED.format(number=made["number"], **args)
    return {"messages": [result(call, told)], "bookings": [made]}
