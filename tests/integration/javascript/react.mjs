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
let keptMs; // the default, until it is set
function Room({ client, id }) {
  const connection = useConnection(client);
  const [state, conversation] = useConversation(client, id, { keptMs });
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
assert.equal(client.conversations.size, 0, "what was rendered, and was never shown, is not joined");

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

// What is not shown any more stays for a while, and is there at once when it is shown again.
const { entries } = seen.state;
await act(() => root.update(room(client, other)));
await until(() => seen.state.status === "in_step");
assert.equal(seen.state.title, "Other");
await act(() => root.update(room(client, plans)));
assert.equal(seen.state.status, "in_step");
assert.equal(seen.state.entries, entries);

// Then its entries are let go; it is still counted, and opens again. What the application has opened itself stays.
keptMs = 0;
const mine = await client.create({ title: "Mine", agent: "off" });
await client.conversation(mine).open();
for (const id of [plans, other, mine, plans]) {
  await act(() => root.update(room(client, id)));
  await until(() => seen.state.id === id && seen.state.status === "in_step");
}
await act(() => root.update(room(client, mine)));
await until(() => client.conversations.get(plans).getSnapshot().status === "closed");
assert.deepEqual(client.conversations.get(plans).entries, []);
assert.equal(client.conversations.get(mine).getSnapshot().status, "in_step");
const { head } = client.conversations.get(plans);
const device = connect({ url, token });
device.conversation(plans).send("from elsewhere");
await until(() => client.conversations.get(plans).head >= head + 2);
await act(() => root.update(room(client, plans)));
await until(() => seen.state.status === "in_step" && seen.state.entries.at(-1).type === "answer");
assert.match(root.toJSON().children[0], /from elsewhere/);

// One that the user has left on another device says so, and is no ghost.
await client.conversation(other).open();
await act(() => root.update(room(client, other)));
await until(() => seen.state.status === "in_step");
await until(() => device.conversations.get(other)?.role);
await device.conversations.get(other).leave();
await until(() => seen.state.status === "removed");
assert.equal(seen.state.error.code, "not_a_member");
assert.equal(client.conversations.has(other), false);

await act(() => root.unmount());
device.close();
client.close();
process.exit(0);
