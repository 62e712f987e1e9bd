"""The npm package, packed here and installed into a fresh project: types that hold, and a client that works."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sio_clients import guest_token
from tests.conftest import ClusterFactory
from tests.waiting import within

pytestmark = pytest.mark.faults

WEB = Path(__file__).parents[2] / "web"
TSC = WEB / "node_modules" / ".bin" / "tsc"
NPM = shutil.which("npm")

# Says what it sees, a line each, until a message came that was sent on another node.
USER = """
import { connect, memoryStore, textOf } from "roomgraph";
const [url, token] = process.argv.slice(2);
const say = (what, more = {}) => console.log(JSON.stringify({ what, ...more }));
const client = connect({ url, token: () => token, deviceId: "bot", store: memoryStore() });
let status = "";
client.subscribe(() => {
  const now = client.getSnapshot();
  if (status !== (status = now.status)) say("status", { status, node: now.node });
});
await new Promise((online) => client.subscribe(() => client.getSnapshot().status === "online" && online()));
const id = await client.create({ title: "Plans", access: "open", graph: "echo" });
const plans = client.conversation(id);
let told = 0;
let written = false;
plans.subscribe(() => {
  const now = plans.getSnapshot();
  if (now !== plans.getSnapshot()) say("unstable");
  if (now.run && textOf(now.run.parts)) written = true;
  const answers = now.entries.filter(({ type }) => type === "answer");
  const pending = now.pending.length;
  for (const { data } of answers.slice(told)) say("answer", { text: data.text, pending, written });
  told = answers.length;
});
plans.send("one two three ".repeat(40));
process.stdin.on("data", () => plans.send("sent while no node was there"));
"""
# Does what it does at once, before there is a connection, and ends when its client is closed.
BRIEF = """
import { connect } from "roomgraph";
const [url, token] = process.argv.slice(2);
let asked = 0;
const client = connect({
  url,
  token: async () => {
    if (!asked++) throw new Error("not yet");
    return token;
  },
});
let error = null;
client.subscribe(() => (error ??= client.getSnapshot().error?.code));
const id = await client.create({ title: "Plans", access: "open", agent: "off" });
const plans = client.conversation(id);
plans.saveDraft("half");
plans.send("one");
const isThere = () => plans.getSnapshot().entries.some(({ data }) => data.text === "one");
await new Promise((sent) => plans.subscribe(() => isThere() && sent()));
await client.request("conversation:rename", { conversation_id: id, title: "Better plans" });
plans.setTyping(true);
plans.saveDraft("more");
client.close();
plans.saveDraft("more and more");
const refused = await client.create().catch(({ code }) => code);
console.log(JSON.stringify({ asked, error, refused, status: client.getSnapshot().status }));
"""
TYPED = """
import { connect, indexedDBStore, memoryStore, textOf } from "roomgraph";
import type { Answer, ClientSnapshot, ConversationSnapshot, Entry, OpenQuestion } from "roomgraph";
import type { Options, Resolved, Run, Store } from "roomgraph";
import { indexedDBStore as same } from "roomgraph/stores/indexeddb";
const token = async (expired: boolean) => (expired ? "new" : "old");
const client = connect({ urls: ["http://127.0.0.1:9000"], token, store: indexedDBStore() });
const plans = client.conversation("plans");
const end: () => void = plans.subscribe(() => {});
const titles: string[] = client.getSnapshot().conversations.map(({ title }) => title);
const seqs: number[] = plans.getSnapshot().entries.map(({ seq }) => seq);
const sent: string = plans.send("hello", { replyTo: 3, files: ["f"] });
const state: ConversationSnapshot = plans.getSnapshot();
const entries: Entry[] = state.entries;
const answers: Answer[] = entries.flatMap((entry) => (entry.type === "answer" ? [entry.data] : []));
const run: Run | null = state.run;
const said: string = run ? textOf(run.parts) : "";
const question: OpenQuestion | undefined = state.questions[0];
const options: Options = { url: "http://127.0.0.1:9000", token: "t", store: same("mine") };
const store: Store = memoryStore();
const known: ClientSnapshot = client.getSnapshot();
const renamed: Promise<{ ok: true }> = client.request("device:rename", { device_id: "d", device_name: "Phone" });
const found: Promise<number[]> = client
  .request("message:search", { query: "plans", limit: 5 })
  .then(({ hits }) => hits.map(({ seq }) => seq));
// @ts-expect-error: no such field
client.request("message:search", { query: "plans", nothing: 1 });
// @ts-expect-error: it may be null
client.getSnapshot().error.code;
// @ts-expect-error: a token is needed
connect({ url: "http://127.0.0.1:9000" });
// @ts-expect-error: not what a snapshot has
plans.getSnapshot().nothing;
client.on("entry", (conversation, { seq, type }) => conversation.markRead(seq).catch(() => type));
client.on("ended", ({ code }) => code);
// @ts-expect-error: there is no such event
client.on("entri", () => {});
// @ts-expect-error: there is no such setting
client.create({ titel: "Plans" });
export async function act() {
  await client.ready();
  await plans.stop();
  await plans.stop("r1");
  await plans.markRead();
  const at: number | null = await plans.loadAt({ since: "2026-01-01T00:00:00Z" });
  const resolved: Resolved = await plans.respond("i1", "yes");
  return [at, resolved.outcome];
}
end();
export { answers, found, known, options, question, renamed, said, seqs, sent, store, titles };
"""


def run(*command: str | Path, cwd: Path) -> str:
    path = f"{WEB / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=100, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of somebody else's that has installed the package."""
    if NPM is None or not TSC.exists():
        pytest.skip("npm, or TypeScript in web/node_modules (npm ci), is not installed")
    folder = tmp_path_factory.mktemp("project")
    packed = run(NPM, "pack", "--silent", "--pack-destination", folder, cwd=WEB / "sdk").strip().splitlines()[-1]
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    run(NPM, "install", "--no-audit", "--no-fund", "--silent", f"./{packed}", cwd=folder)
    return folder


@pytest.mark.parametrize("module", ["--module NodeNext", "--module ESNext --moduleResolution bundler"])
def test_the_types_of_the_package_hold_for_its_users(project: Path, module: str) -> None:
    """Also those within its declarations, which other libraries leave out by `skipLibCheck`."""
    (project / "user.ts").write_text(TYPED)
    options = ("--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "ES2023", "--lib", "ES2023,DOM")
    run(TSC, *options, *module.split(), "user.ts", cwd=project)


def test_the_types_need_no_browser(project: Path) -> None:
    """What Node has itself is declared by @types/node, which a program has that checks its types."""
    (project / "node.ts").write_text(
        'import { connect } from "roomgraph";\n'
        'connect({ url: "http://127.0.0.1:9000", token: "t", bot: true }).close();\n'
        "declare global {\n  interface Blob {}\n  interface AbortSignal {}\n}\n"
    )
    options = ("--noEmit", "--strict", "--target", "ES2023", "--lib", "ES2023", "--module", "NodeNext")
    run(TSC, *options, "node.ts", cwd=project)


async def test_a_program_sends_and_hears_answers_and_goes_on_when_its_node_dies(
    project: Path, start_cluster: ClusterFactory
) -> None:
    cluster = await start_cluster(nodes=2)
    _, token = await guest_token(cluster.urls[0], "Ann")
    (project / "user.mjs").write_text(USER)
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        "node", "user.mjs", cluster.urls[0], token, cwd=project, stdin=pipe, stdout=pipe
    )
    assert program.stdin is not None
    assert program.stdout is not None

    async def told() -> AsyncIterator[dict[str, object]]:
        assert program.stdout is not None
        async for line in program.stdout:
            yield json.loads(line)

    lines = told()

    async def until(what: str, **fields: object) -> dict[str, object]:
        async with within(30, f"{what} {fields}"):
            async for line in lines:
                assert line["what"] != "unstable"
                if line["what"] == what and line.items() >= fields.items():
                    return line
        raise AssertionError("the program has ended")

    try:
        first = await until("answer")
        assert "one two three" in str(first["text"])
        assert first["pending"] == 0
        assert first["written"] is True, "its text was there before the entry"
        await cluster.signal_node(cluster.ports[0], signal.SIGKILL)
        program.stdin.write(b"\n")
        await until("status", status="online", node=str(cluster.ports[1]))
        second = await until("answer")
        assert "sent while no node was there" in str(second["text"])
    finally:
        program.kill()
        await program.wait()


async def test_a_program_need_not_wait_for_its_connection_and_ends_with_its_client(
    project: Path, start_cluster: ClusterFactory
) -> None:
    cluster = await start_cluster(nodes=1)
    _, token = await guest_token(cluster.urls[0], "Ann")
    (project / "brief.mjs").write_text(BRIEF)
    command = ("node", "brief.mjs", cluster.urls[0], token)
    program = await asyncio.create_subprocess_exec(*command, cwd=project, stdout=asyncio.subprocess.PIPE)
    try:
        async with within(30, "the program has ended"):
            told, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert program.returncode == 0
    assert json.loads(told) == {
        "asked": 2,
        "error": "token_unavailable",
        "refused": "offline",
        "status": "ended",
    }
