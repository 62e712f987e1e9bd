// Hooks for React: what a client and a conversation know, as state that renders again when it changes.

// @ts-ignore: React is installed by the application
import { useEffect, useMemo, useSyncExternalStore } from "react";
import { Client } from "./client.js";
import { Conversation } from "./conversation.js";
import * as snapshots from "./snapshots.js";
import { memoryStore } from "./stores/memory.js";

// Where nothing is known yet: on a server, while the page it made is hydrated, and before there is a client.
let unconnected = null;
const nothing = () => (unconnected ??= new Client({ url: "", token: "", snapshots, store: memoryStore() }));

/**
 * What the client knows: its connection, its user, and the user's conversations.
 * @param {Client | null} client null: there is none yet
 * @returns {import("./types.js").ClientSnapshot}
 */
export function useConnection(client) {
  const { subscribe, getSnapshot } = client ?? nothing();
  return useSyncExternalStore(subscribe, getSnapshot, nothing().getSnapshot);
}

const KEPT_MS = 30_000;

const held = new WeakMap(); // conversation -> {holders, closing: timer}, of those that hooks have opened

// Have it open for as long as a component shows it, and for a while after the last one is gone. What the application has
// opened itself stays open.
function hold(c, keptMs) {
  if (!held.has(c) && !c.wanted) held.set(c, { holders: 0, closing: null });
  const ours = held.get(c);
  if (ours) {
    clearTimeout(ours.closing);
    ours.holders++;
  }
  c.open().catch(() => {}); // it stands in the snapshot
  return () => {
    if (!ours || --ours.holders) return;
    ours.closing = setTimeout(() => {
      held.delete(c);
      c.close();
    }, keptMs);
  };
}

/**
 * A conversation: what is known of it, and the object whose methods act in it. It is joined and followed once the
 * component is mounted. Some time after the last component that shows it is gone its entries are let go.
 * @param {Client | null} client null: there is none yet
 * @param {string | null} id null: none is chosen
 * @param {{keptMs?: number}} [options] for how long it is kept then
 * @returns {[import("./types.js").ConversationSnapshot, Conversation]}
 */
export function useConversation(client, id, { keptMs = KEPT_MS } = {}) {
  const store = useMemo(() => {
    const before = new Conversation(nothing(), id ?? "");
    let shown = client && id ? new Conversation(client, id, memoryStore()) : before; // until it is mounted
    // One that was left and joined again is another object; one to which the user is only invited again is not shown.
    const current = () => {
      const now = id && client?.conversations.get(id);
      if (now && (!shown.removed || now.wanted || (now.role && now.role !== "invited"))) shown = now;
      return shown;
    };
    return { current, getSnapshot: () => current().getSnapshot(), getServerSnapshot: before.getSnapshot };
  }, [client, id]);
  useEffect(() => {
    if (!client || !id) return undefined;
    client.following.add(id);
    let c = null;
    let release = () => {};
    const follow = () => {
      if (c === store.current()) return;
      release();
      c = store.current();
      release = hold(c, keptMs);
    };
    follow();
    const end = client.subscribe(follow);
    return () => {
      end();
      release();
    };
  }, [client, id, store, keptMs]);
  const { subscribe } = client ?? nothing();
  const snapshot = useSyncExternalStore(subscribe, store.getSnapshot, store.getServerSnapshot);
  return [snapshot, store.current()];
}
