// What is done in a conversation by the SDK's methods, with real nodes. `node conversation.mjs <case> <url>`; run by
// test_javascript_bindings.py.

import assert from "node:assert/strict";
import { connect } from "roomgraph";

const [name, url] = process.argv.slice(2);

async function tokenOf(person) {
  const headers = { "content-type": "application/json" };
  const guest = await fetch(`${url}/api/guest`, { method: "POST", body: JSON.stringify({ name: person }), headers });
  return (await guest.json()).token;
}

async function until(look) {
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((done) => setTimeout(done, 10))) {
    if (look()) return look();
  }
  throw new Error(`never true: ${look}`);
}

async function personOf(person) {
  const client = connect({ url, token: await tokenOf(person) });
  await until(() => client.getSnapshot().status === "online");
  return client;
}

const [ann, bob] = [await personOf("Ann"), await personOf("Bob")];
const inStep = async (client, id) => {
  const c = client.conversation(id);
  await until(() => c.getSnapshot().status === "in_step");
  return c;
};
const listed = (client, id) => client.getSnapshot().conversations.find((one) => one.id === id);

const cases = {
  async files() {
    const mine = await inStep(ann, await ann.create({ agent: "off", invite: [bob.me] }));
    const theirs = await inStep(bob, mine.id);
    const { file_id, size } = await mine.upload(new Blob(["at ten"], { type: "text/plain" }), { name: "plan.txt" });
    assert.equal(size, 6);
    mine.send("the plan", { files: [file_id] });
    const sent = await until(() => theirs.getSnapshot().entries.find(({ data }) => data.files));
    const address = await theirs.fileUrl(file_id);
    assert.equal(await (await fetch(address)).text(), "at ten");
    assert.equal(await theirs.fileUrl(file_id), address, "it is asked for once");
    mine.edit(sent.seq, "the new plan");
    const edited = await until(() => theirs.getSnapshot().entries.find(({ data }) => data.text === "the new plan"));
    assert.deepEqual(edited.data.files.map((file) => file.name), ["plan.txt"]);
    await assert.rejects(mine.upload(new Blob([])), ({ code, message }) => Boolean(code && message));
    await assert.rejects(theirs.fileUrl("f.none"), { code: "not_found" });
    const stopped = AbortSignal.abort();
    await assert.rejects(mine.upload(new Blob(["x"]), { signal: stopped }), { name: "AbortError" });
  },

  async people() {
    const mine = await inStep(ann, await ann.create({ agent: "off" }));
    assert.deepEqual((await mine.invite([bob.me])).invited, [bob.me]);
    const theirs = await inStep(bob, mine.id);
    mine.send("hello");
    const { seq } = await until(() => theirs.getSnapshot().entries.find(({ type }) => type === "message"));
    await theirs.react(seq, "👍");
    await until(() => mine.getSnapshot().reactions.get(seq)?.[0].users[0].user_id === bob.me);
    await theirs.react(seq, "👍", false);
    await until(() => !mine.getSnapshot().reactions.has(seq));
    await theirs.markRead();
    await until(() => mine.getSnapshot().reads.get(bob.me) >= seq);
    await until(() => mine.getSnapshot().delivered.get(`${bob.me} ${bob.deviceId}`) >= seq);
    await mine.loadMembers();
    assert.deepEqual(mine.getSnapshot().members.map((one) => one.user_id).sort(), [ann.me, bob.me].sort());
    await mine.removeMember(bob.me);
    await until(() => theirs.getSnapshot().status === "removed");
    await until(() => mine.getSnapshot().members.length === 1);
    assert.equal(listed(bob, mine.id), undefined);
  },

  // With a server whose sessions follow ten conversations each.
  async limit() {
    const { followed_conversations: most } = ann.limits;
    assert.equal(most, 10);
    const ids = [];
    for (let n = 0; n < most + 5; n++) {
      ids.push(await [ann, bob][n % 2].create({ agent: "off", access: "open", conversation_id: `limit-${n}` }));
    }
    const first = await personOf("Cleo");
    for (const id of ids) {
      const error = await first.conversation(id).open().catch((refused) => refused);
      assert.equal(error?.code ?? "", first.conversation(id).error?.code ?? "");
    }
    const refused = first.conversation(ids.at(-1));
    assert.deepEqual([refused.getSnapshot().status, refused.getSnapshot().error.code], ["refused", "too_many_conversations"]);
    await until(() => first.getSnapshot().status === "online"); // nothing is waited for
    await first.conversation(ids[0]).leave();
    await until(() => ids.slice(most).some((id) => first.conversation(id).getSnapshot().status === "in_step"));

    // What one user is in is listed whole; a place is left for what is opened.
    const again = connect({ url, token: first.options.token });
    await until(() => again.getSnapshot().status === "online");
    await until(() => again.getSnapshot().conversations.length === first.getSnapshot().conversations.length);
    const all = [...again.conversations.values()];
    const followed = all.filter((c) => again.following.follows(c));
    assert.ok(followed.length <= 0.9 * most, `${followed.length} are followed`);
    const other = all.find((c) => !again.following.follows(c));
    await other.open();
    assert.equal(other.getSnapshot().status, "in_step");
    first.close();
    again.close();
  },

  async settings() {
    const mine = await inStep(ann, await ann.create({ agent: "off", title: "Old" }));
    await mine.rename("New");
    await until(() => mine.getSnapshot().title === "New");
    await mine.configure({ agent: "mention", approvals: "owner" });
    await until(() => mine.getSnapshot().agent === "mention" && mine.getSnapshot().approvals === "owner");
    await mine.pin();
    await until(() => listed(ann, mine.id).pinned);
    await mine.pin(false);
    await mine.archive();
    await until(() => listed(ann, mine.id).archived && !listed(ann, mine.id).pinned);
    mine.send("a needle in hay");
    await until(() => mine.getSnapshot().entries.some(({ data }) => data.text === "a needle in hay"));
    const { hits } = await mine.search("needle");
    assert.deepEqual(hits.map(({ text }) => text), ["a needle in hay"]);
    await mine.deleteConversation();
    await until(() => mine.getSnapshot().status === "removed");
    assert.equal(mine.getSnapshot().error.code, "unknown_conversation");
  },
};

await cases[name]();
ann.close();
bob.close();
process.exit(0);
