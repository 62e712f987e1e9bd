"""The JavaScript SDK in a dedicated worker, as an application's bundle has it: in step, and with a store."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from sio_clients import guest_token
from sio_server.local.cluster import LocalCluster
from tests.conftest import NODE_SETTINGS, ClientFactory, cluster_in

WEB = Path(__file__).parents[2] / "web"
SOCKET_IO = WEB / "node_modules" / "socket.io-client" / "dist" / "socket.io.esm.min.js"

# Does what the page tells it, and tells the texts of the conversation.
WORKER = """
import { connect } from "./roomgraph/index.js";
let client, plans;
const tell = () => {
  const { status, entries, pending, draft } = plans.getSnapshot();
  postMessage({ status, draft, texts: entries.map(({ data }) => data.text), pending: pending.length });
};
const does = {
  begin({ url, token, id, deviceId }) {
    client = connect({ url, token, deviceId });
    plans = client.conversation(id);
    plans.subscribe(tell);
  },
  send: ({ text }) => void plans.send(text),
  // Typed where no node can be reached.
  type({ text }) {
    client.connection.close();
    plans.saveDraft(text);
  },
  leave({ text }) {
    client.close();
    plans.send(text);
  },
};
onmessage = ({ data }) => does[data.what](data);
"""
PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
window.told = [];
window.begin = () => {
  window.worker = new Worker("./worker.js", { type: "module" });
  window.worker.onmessage = ({ data }) => window.told.push(data);
  window.worker.onerror = ({ message }) => window.told.push({ error: message });
};
</script>"""

# Waits until a draft is kept.
DRAFTED = """async () => {
  const settled = (request) => new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = fail;
  });
  while (!(await indexedDB.databases()).some(({ name }) => name === "roomgraph-drafts")) {
    await new Promise((again) => setTimeout(again, 50));
  }
  const database = await settled(indexedDB.open("roomgraph-drafts"));
  const drafts = () => settled(database.transaction("drafts").objectStore("drafts").getAll());
  while (!(await drafts()).some(({ text }) => text === "half a thought")) {
    await new Promise((again) => setTimeout(again, 50));
  }
  database.close();
}"""

# Waits until the database that all workers and pages share has an unsent message.
KEPT = """async () => {
  const settled = (request) => new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = fail;
  });
  while (!(await indexedDB.databases()).some(({ name }) => name === "roomgraph")) {
    await new Promise((again) => setTimeout(again, 50));
  }
  const database = await settled(indexedDB.open("roomgraph"));
  const unsent = () => settled(database.transaction("outbox").objectStore("outbox").count());
  while (!(await unsent())) await new Promise((again) => setTimeout(again, 50));
  database.close();
}"""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of an application. What a bundler does is that workers know no names of packages."""
    if not SOCKET_IO.exists():
        pytest.skip("socket.io-client is not in web/node_modules (npm ci)")
    root = tmp_path_factory.mktemp("site")
    package = root / "roomgraph"
    shutil.copytree(WEB / "sdk" / "src", package)
    shutil.copy(SOCKET_IO, package / "socket.io.js")
    index = package / "index.js"
    index.write_text(index.read_text().replace('"socket.io-client"', '"./socket.io.js"'))
    (root / "worker.js").write_text(WORKER)
    (root / "index.html").write_text(PAGE)
    handler = partial(QuietHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
async def cluster(site: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    settings = {**NODE_SETTINGS, "ALLOWED_ORIGINS": site}
    async with cluster_in(tmp_path_factory.mktemp("cluster"), settings, nodes=1) as running:
        yield running


@pytest.fixture
async def page(browser: Browser, site: str) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(site)
    yield page
    await context.close()


async def told(page: Page, condition: str) -> None:
    """Wait until the worker has told something, `said`, of which this is true."""
    await page.wait_for_function(f"window.told.some((said) => said.error || ({condition}))", timeout=30_000)
    assert await page.evaluate("window.told.filter((said) => said.error)") == []


async def test_a_worker_sends_and_receives_and_another_one_sends_what_it_has_left(
    page: Page, cluster: LocalCluster, new_client: ClientFactory, new_id: str
) -> None:
    bob = await new_client("Bob")
    plans = await bob.create("Plans", conversation_id=new_id, access="open", agent="off")
    _, token = await guest_token(cluster.urls[0], "Ann")
    begin = {"what": "begin", "url": cluster.urls[0], "token": token, "id": new_id}
    await page.evaluate("(message) => { begin(); worker.postMessage(message); }", begin)
    await told(page, "said.status === 'in_step'")
    await page.evaluate("worker.postMessage({ what: 'send', text: 'from the worker' })")
    await told(page, "said.texts?.includes('from the worker') && !said.pending")
    await plans.send("to the worker")
    await told(page, "said.texts?.includes('to the worker')")

    await page.evaluate("worker.postMessage({ what: 'leave', text: 'left behind' })")
    await page.evaluate(KEPT)
    await page.evaluate(
        "(message) => { worker.terminate(); told = []; begin(); worker.postMessage(message); }", begin
    )
    await told(page, "said.texts?.includes('left behind')")
    said = [entry.data["text"] for entry in await plans.log() if entry.type == "message"]
    assert said == ["from the worker", "to the worker", "left behind"]


async def test_a_draft_that_no_node_has_is_there_again_for_the_same_device(
    page: Page, cluster: LocalCluster, new_client: ClientFactory, new_id: str
) -> None:
    bob = await new_client("Bob")
    await bob.create("Plans", conversation_id=new_id, access="open", agent="off")
    _, token = await guest_token(cluster.urls[0], "Ann")
    begin = {"what": "begin", "url": cluster.urls[0], "token": token, "id": new_id, "deviceId": "tab-1"}
    await page.evaluate("(message) => { begin(); worker.postMessage(message); }", begin)
    await told(page, "said.status === 'in_step'")
    await page.evaluate("worker.postMessage({ what: 'type', text: 'half a thought' })")
    await page.evaluate(DRAFTED)
    await page.evaluate(
        "(message) => { worker.terminate(); told = []; begin(); worker.postMessage(message); }", begin
    )
    await told(page, "said.status === 'in_step' && said.draft === 'half a thought'")
