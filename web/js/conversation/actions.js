// Opening, joining and creating a conversation, and sending. requests.js has the rest.

import { lazy } from "../lazy.js";
import { changed, state } from "../state.js";
import { random } from "../storage.js";

export class Actions {
  constructor(connection, following, outbox) {
    Object.assign(this, { connection, following, outbox });
  }

  // Show a conversation, joined first if need be. Rejects when refused.
  async open(id) {
    lazy.typing.loaded?.setTyping(false);
    state.open?.draft.flush();
    const known = state.conversations.get(id);
    if (known) known.divider = null;
    const member = known?.role && known.role !== "invited";
    state.open = member ? known : null;
    state.opening = member ? "" : id;
    changed();
    if (!id || !this.connection.ready) return;
    try {
      if (!member) await this.#join(id);
      else if (!known.loaded) await this.following.sync([known]);
    } finally {
      if (state.opening === id) state.opening = "";
      changed();
    }
    const c = state.conversations.get(id);
    if (c === state.open) c?.divide(Math.max(c.read, c.first - 1), c.head);
  }

  send(c, text) {
    this.outbox.add(c.id, text);
    c.draft.clear();
    c.divider = null;
    lazy.typing.loaded?.setTyping(false);
  }

  // Resolves with the id. The same settings again, after an error, create nothing more.
  async create(settings) {
    const same = JSON.stringify(settings);
    if (this.asked?.same !== same) this.asked = { same, request_id: random(4) };
    const { request_id } = this.asked;
    const { conversation_id } = await this.connection.insist("conversation:create", { request_id, ...settings });
    this.asked = null;
    return conversation_id;
  }

  async #join(id) {
    const c = this.following.add(id);
    try {
      const request = { conversation_id: id, request_id: random(4) };
      const view = await this.following.during([c], "conversation:join", request);
      if (state.opening === id) state.open = c;
      if (this.following.apply(c, view)) await this.following.sync([c]);
    } catch (error) {
      if (!c.role) state.conversations.delete(id);
      throw error;
    }
  }
}
