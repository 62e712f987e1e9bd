// What a component sees that uses the hooks. `node react.mjs <url>`. Run by test_javascript_bindings.py.

import assert from "node:assert/strict";
import { createElement as e, StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { act, create } from "react-test-renderer";
import { connect } from "roomgraph";
import { useConnection, useConversation } from "roomgraph/react";

const [url] = process.argv.slice(2);
const guest = await fetch(`${url}/api/guest`, { method: "POST", body: '{"name": "Ann"}', headers: { "content-type": "application/json" } });
const { token } = await guest.json();
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

let renders = 0;
let seen;
function Room({ client, id }) {
  const connection = useConnection(client);
  const [state, conversation] = useConversation(client, id);
  renders++;
  seen = { connection, state, conversation };
  return e("p", null, `${connection.status} ${state.status}: ${state.entries.map(({ data }) => data.text ?? "").join(" ").trim()}`);
}
const room = (client, id) => e(StrictMode, null, e(Room, { client, id }));

async function until(look, ms = 10) {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (look()) return;
    await act(() => new Promise((done) => setTimeout(done, ms)));
  }
  throw new Error(`never true: ${look}`);
}

// On a server there is no client; and what is there first in a browser is the same.
const served = renderToString(room(null, "c.1"));
assert.match(served, /connecting opening: </);

const client = connect({ url, token });
assert.equal(renderToString(room(client, "c.1")), served);
await new Promise((online) => client.subscribe(() => client.getSnapshot().status === "online" && online()));
assert.equal(client.conversations.size, 1, "what was rendered, and was never shown, is not joined");
assert.equal(client.conversations.get("c.1").wanted, false);

const [plans, other] = [await client.create({ title: "Plans", graph: "echo" }), await client.create({ title: "Other", agent: "off" })];
let root;
await act(() => (root = create(room(client, plans))));
await until(() => seen.state.status === "in_step");
assert.equal(seen.state.title, "Plans");
assert.equal(seen.connection.user_id, client.me);
assert.equal(seen.conversation, client.conversation(plans));

await act(() => seen.conversation.send("hello"));
await until(() => seen.state.entries.at(-1).type === "answer");
assert.match(root.toJSON().children[0], /hello/);

// Once nothing changes any more (marks and the list have come), it is the same snapshot, and nothing is rendered.
let before = 0;
await until(() => before === (before = renders), 300);
assert.equal(client.conversation(plans).getSnapshot(), seen.state);

// What is not shown any more is still followed.
await act(() => root.update(room(client, other)));
await until(() => seen.state.status === "in_step");
assert.equal(seen.state.title, "Other");
await act(() => client.conversation(plans).send("elsewhere"));
await until(() => client.conversation(plans).getSnapshot().entries.at(-1).type === "answer");
await act(() => root.unmount());
client.conversation(plans).send("unmounted");
await until(() => JSON.stringify(client.conversation(plans).getSnapshot().entries.at(-1).data).includes("unmounted"));
client.close();
process.exit(0);
