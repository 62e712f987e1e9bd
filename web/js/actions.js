// Opening the conversation that the address names.

import { lazy } from "./lazy.js";
import { changed, state } from "./state.js";

export class Actions {
  constructor(client) {
    this.client = client;
  }

  // Show a conversation, joined first if need be. Rejects when refused.
  async open(id) {
    const { client } = this;
    state.open?.setTyping(false);
    state.open?.draft.flush();
    const known = state.conversations.get(id);
    if (known) known.divider = null;
    const member = known?.role && known.role !== "invited";
    state.open = member ? known : null;
    state.opening = member ? "" : id;
    changed();
    if (member) known.wanted = true; // without a connection it is loaded with the next one
    if (!id || !client.connection.ready) return;
    const c = client.following.add(id);
    try {
      await c.open();
      if (state.opening === id) state.open = c;
    } catch (error) {
      if (!c.role) state.conversations.delete(id);
      throw error;
    } finally {
      if (state.opening === id) state.opening = "";
      changed();
    }
    if (c === state.open) c.divide(Math.max(c.read, c.first - 1), c.head);
  }
}
