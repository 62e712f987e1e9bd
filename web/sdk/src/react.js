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

/**
 * A conversation: what is known of it, and the object whose methods act in it. It is joined and followed once the
 * component is mounted, and stays followed when that is gone.
 * @param {Client | null} client null: there is none yet
 * @param {string | null} id null: none is chosen
 * @returns {[import("./types.js").ConversationSnapshot, Conversation]}
 */
export function useConversation(client, id) {
  const store = useMemo(() => {
    const before = new Conversation(nothing(), id);
    // Looked up each time: a conversation that was left and joined again is another object.
    const current = client && id ? () => client.following.add(id) : () => before;
    return { current, getSnapshot: () => current().getSnapshot(), getServerSnapshot: before.getSnapshot };
  }, [client, id]);
  useEffect(() => {
    if (client && id) client.conversation(id);
  }, [client, id]);
  const { subscribe } = client ?? nothing();
  const snapshot = useSyncExternalStore(subscribe, store.getSnapshot, store.getServerSnapshot);
  return [snapshot, store.current()];
}
