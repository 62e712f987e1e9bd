// What a person can do: open a conversation, write in it, and whatever deeds.js has.

import { here, want } from "./later.js";
import { changed, state } from "./state.js";

const DEEDS = [
  "create", "leave", "older", "seen", "regenerate", "stop", "respond", "loadMembers", "invite",
  "renameDevice", "signOutDevice", "signOut", "ended", "refused",
];

export class Actions {
  constructor(connection, following, outbox) {
    Object.assign(this, { connection, following, outbox });
  }

  // Show a conversation; one that is not ours yet is joined. Rejects when refused.
  async open(id) {
    here.typing?.typed(false);
    state.open?.draft.flush();
    const known = state.conversations.get(id);
    if (known) known.divider = null;
    const member = known?.role && known.role !== "invited";
    state.open = member ? known : null;
    state.opening = member ? "" : id;
    changed();
    if (!id || !this.connection.ready) return;
    try {
      if (!member) await this.enter(id, "conversation:join");
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
    here.typing?.typed(false);
  }

  // Only one's last message can be said anew.
  edit(c, seq, text) {
    this.outbox.add(c.id, text, seq);
  }

  // Join or create.
  async enter(id, event, fields) {
    const c = this.following.meet(id);
    try {
      const result = await this.following.during([c], () => this.connection.ask(c, event, fields));
      if (state.opening === id) state.open = c;
      this.following.take(c, result);
    } catch (error) {
      if (!c.role) state.conversations.delete(id);
      throw error;
    }
  }
}

for (const name of DEEDS) {
  Actions.prototype[name] = async function (...about) {
    return (await want("deeds"))[name](this, ...about);
  };
}
