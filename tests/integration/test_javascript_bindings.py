"""The JavaScript SDK with React and with the Vercel AI SDK, as their packages are, against real nodes."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, cluster_in
from tests.integration.test_javascript_package import NPM, TSC, WEB, run
from tests.served.devices import LANGGRAPH_JSON
from tests.served.zoo import Zoo
from tests.waiting import within

pytest_plugins = ["tests.served.zoo_fixtures"]
pytestmark = pytest.mark.faults

SCRIPTS = Path(__file__).parent / "javascript"
PACKAGES = (
    "ai@7.0.173",
    "@ai-sdk/react@4.0.177",
    "react@19.3.1",
    "react-dom@19.3.1",
    "react-test-renderer@19.3.1",
)
DOCS = WEB.parent / "docs"
# What samples use that is the reader's own, and React's types, which are another package.
GIVEN = """
declare function fetchToken(): Promise<string>;
declare function render(...shown: unknown[]): void;
declare module "react" {
  export function useEffect(act: () => void | (() => void), of: unknown[]): void;
  export function useState(first: any): [any, (next: any) => void];
}
declare namespace JSX {
  interface IntrinsicElements { [name: string]: any }
}
"""
TYPED = """
import type { ChatTransport, UIMessage } from "ai";
import { connect, deliveredTo, readBy } from "roomgraph";
import { RoomgraphTransport, toUIMessages } from "roomgraph/ai-sdk";
import { useConnection, useConversation } from "roomgraph/react";
const client = connect({ url: "http://127.0.0.1:9000", token: "t" });
const transport: ChatTransport<UIMessage> = new RoomgraphTransport(client);
const messages: UIMessage[] = toUIMessages(client.conversation("plans").getSnapshot().entries);
export function Room() {
  const [state, conversation] = useConversation(client, "plans");
  conversation.send(state.entries[0].type + useConnection(client).status);
  return null;
}
export async function act() {
  const conversation = client.conversation("plans");
  const { file_id } = await conversation.upload(new Blob([]), { progress: (part: number) => part });
  const sent: string = conversation.edit(1, "text", { replyTo: 0, files: [file_id] });
  const { entry_seq } = await conversation.react(1, "👍");
  const { unknown } = await conversation.invite(["bob"]);
  const { hits } = await conversation.search("tea", { limit: 5 });
  await conversation.configure({ agent: "mention" });
  // @ts-expect-error: there is no such setting
  await conversation.configure({ agent: "sometimes" });
  // @ts-expect-error: a title is a text
  await conversation.rename(1);
  const { status, reactions, versions, entries, resolved, members } = conversation.getSnapshot();
  // @ts-expect-error: there is no such status
  if (status === "gone") return [];
  const people: string[] = reactions.get(1)!.flatMap(({ users }) => users.map(({ name }) => name));
  const outcome: "answered" | "superseded" = resolved.get("i")!.outcome;
  // @ts-expect-error: what a member is, is known
  const wrong: number = members![0].name;
  const readers: string[] = readBy(conversation.getSnapshot(), entries[0]);
  const devices: number = deliveredTo(conversation.getSnapshot(), versions.get(1)![0]);
  return [sent, entry_seq, unknown, hits[0].text, people, outcome, wrong, readers, devices];
}
export { messages, transport };
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the package beside those that it is for."""
    if NPM is None or not TSC.exists():
        pytest.skip("npm, or TypeScript in web/node_modules (npm ci), is not installed")
    folder = tmp_path_factory.mktemp("project")
    packed = run(NPM, "pack", "--silent", "--pack-destination", folder, cwd=WEB / "sdk").strip().splitlines()[-1]
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    run(NPM, "install", "--no-audit", "--no-fund", "--silent", f"./{packed}", *PACKAGES, cwd=folder)
    for script in SCRIPTS.glob("*.mjs"):
        (folder / script.name).write_text(script.read_text())
    return folder


@pytest.fixture(scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Two nodes with graphs whose messages say what they shall do; one of them is killed."""
    settings = {**NODE_SETTINGS, "LANGGRAPH_JSON": LANGGRAPH_JSON, "RUN_ATTEMPTS": "1"}
    async with cluster_in(tmp_path_factory.mktemp("nodes"), settings, nodes=2) as running:
        yield running


async def carry_out(cluster: LocalCluster, project: Path, script: str, *arguments: str) -> None:
    """Run a script to its end; a node that it wants killed is."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        "node", script, *arguments, cwd=project, stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stderr is not None
    killed = 0
    try:
        async with within(100, f"the end of {script} {arguments}"):
            async for line in program.stdout:
                what, node = line.decode().split()
                assert what == "kill"
                killed = int(node)
                await cluster.signal_node(killed, signal.SIGKILL)
                program.stdin.write(b"\n")
            told = (await program.stderr.read()).decode()
            assert await program.wait() == 0, told
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
        if killed:
            await cluster.start_node(killed)


def samples() -> list[tuple[str, str]]:
    """The programs in the documentation of the SDK: a name for a file, and the code."""
    found = []
    for page in (*sorted(DOCS.glob("javascript*.md")), WEB / "sdk" / "README.md"):
        blocks = re.findall(r"^```(js|jsx)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        found += [(f"{page.stem}-{n}.{kind}", code) for n, (kind, code) in enumerate(blocks)]
    return found


def test_the_samples_of_the_documentation_hold(project: Path) -> None:
    folder = project / "samples"
    folder.mkdir()
    (folder / "given.d.ts").write_text(GIVEN)
    names = [name for name, _ in samples()]
    assert len(names) >= 8
    for name, code in samples():
        (folder / name).write_text(code)
    options = ("--allowJs", "--checkJs", "--noEmit", "--strict", "--skipLibCheck", "--noImplicitAny", "false")
    target = ("--target", "ES2023", "--lib", "ES2023,DOM,DOM.Iterable", "--jsx", "preserve")
    modules = ("--module", "ESNext", "--moduleResolution", "bundler", "--moduleDetection", "force")
    run(TSC, *options, *target, *modules, "given.d.ts", *names, cwd=folder)


async def test_the_complete_program_of_the_documentation_says_what_is_said(
    nodes: LocalCluster, project: Path
) -> None:
    """Started twice: its conversation is there already then."""
    _, code = next(sample for sample in samples() if 'lobby.send("Hello from Node")' in sample[1])
    assert code.count('"http://127.0.0.1:9000"') == 1
    (project / "chat.mjs").write_text(code.replace("http://127.0.0.1:9000", nodes.urls[0]))
    for times in (1, 2):
        program = await asyncio.create_subprocess_exec(
            "node", "chat.mjs", cwd=project, stdout=asyncio.subprocess.PIPE
        )
        assert program.stdout is not None
        try:
            told: list[str] = []
            async with within(60, f"its message, number {times}", partial(list, told)):
                while sum(line.endswith("message Ann Hello from Node") for line in told) < times:
                    line = (await program.stdout.readline()).decode()
                    assert line, "it has ended"
                    told.append(line.strip())
        finally:
            program.kill()
            await program.wait()


def test_the_types_of_the_bindings_hold_for_their_users(project: Path) -> None:
    (project / "bindings.ts").write_text(TYPED)
    options = ("--module", "NodeNext", "--target", "ES2023", "--lib", "ES2023,DOM")
    run(TSC, "--noEmit", "--strict", "--skipLibCheck", *options, "bindings.ts", cwd=project)


async def test_a_component_shows_a_conversation_and_renders_only_what_changes(
    nodes: LocalCluster, project: Path
) -> None:
    await carry_out(nodes, project, "react.mjs", nodes.urls[0])


@pytest.mark.parametrize("case", ["files", "people", "settings"])
async def test_what_is_done_in_a_conversation(nodes: LocalCluster, project: Path, case: str) -> None:
    await carry_out(nodes, project, "conversation.mjs", case, nodes.urls[0])


async def test_what_is_more_than_a_session_may_follow(project: Path, tmp_path: Path) -> None:
    settings = {**NODE_SETTINGS, "CONVERSATIONS_PER_SESSION": "10"}
    async with cluster_in(tmp_path, settings, nodes=1) as narrow:
        await carry_out(narrow, project, "conversation.mjs", "limit", narrow.urls[0])


@pytest.mark.parametrize(
    "case",
    [
        "text",
        "attachments",
        "removed",
        "silence",
        "tools",
        "approval",
        "question",
        "stop",
        "unsent",
        "regenerate",
        "resume",
        "step",
        "failure",
        "takeover",
    ],
)
async def test_a_chat_of_the_ai_sdk(nodes: LocalCluster, project: Path, tmp_path: Path, case: str) -> None:
    await carry_out(nodes, project, "ai_sdk.mjs", case, nodes.urls[0], str(tmp_path))


@pytest.mark.parametrize("case", ["reasoning", "files", "review"])
async def test_a_chat_of_the_ai_sdk_with_an_agent_of_langchain(
    zoo: Zoo, project: Path, tmp_path: Path, case: str
) -> None:
    await carry_out(zoo.cluster, project, "ai_sdk.mjs", case, zoo.cluster.urls[0], str(tmp_path))
