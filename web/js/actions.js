// What a person can do: open and join, say and read on, and what comes with deeds.js.

import { want } from "./later.js";
import { changed, learnNames, state } from "./state.js";

const DEEDS = ["create", "leave", "regenerate", "stop", "respond", "loadMembers", "invite"];
DEEDS.push("renameDevice", "signOutDevice", "signOut");

export class Actions {
  #typedAt = 0;

  constructor(connection, following, outbox) {
    Object.assign(this, { connection, following, outbox });
  }

  // Show the conversation that the address names; one that is not ours yet is joined. Rejects when refused.
  async open(id) {
    this.typed(false);
    state.open?.draft.flush();
    const known = state.conversations.get(id);
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
    this.typed(false);
  }

  // Say one's own message anew; only the conversation's last one can be.
  edit(c, seq, text) {
    this.outbox.add(c.id, text, seq);
  }

  // The page before the oldest entry that is here.
  async older(c) {
    if (!c.hasOlder || c.paging) return;
    c.paging = true;
    try {
      const page = await this.connection.ask(c, "conversation:history", { before: c.entries[0].seq });
      if (page.epoch !== c.delivery.position.epoch) return;
      learnNames(page.entries, true);
      c.addOlder(page.entries, page.entries.length ? page.first : c.entries[0].seq);
    } catch {
      // Scrolling again asks again.
    } finally {
      c.paging = false;
      changed();
    }
  }

  // Everything up to the end has been seen.
  async seen(c) {
    if (c.head <= c.read || c.syncing || c.marking || !this.connection.ready) return;
    c.marking = true;
    try {
      const { seq } = await this.connection.request("read:update", { conversation_id: c.id, seq: c.head });
      c.mark(state.me, seq);
    } catch {
      // Seen again after the next connection.
    } finally {
      c.marking = false;
      changed();
    }
  }

  // The person typed, or stopped; told to the others at most every three seconds.
  typed(typing) {
    const now = Date.now();
    if (typing ? now - this.#typedAt < 3000 : !this.#typedAt) return;
    this.#typedAt = typing ? now : 0;
    const told = { conversation_id: state.open?.id, typing };
    if (state.open) this.connection.request("typing:update", told).catch(() => {});
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
