// This person's devices, who is online, and the marks that tell up to where this page was given each conversation.

import { state } from "./state.js";
import { deviceId } from "./storage.js";

const TOGETHER_MS = 250; // at most one mark of a conversation in this time
const AT_ONCE = 20;

export class Devices {
  #due = new Set();

  constructor(connection) {
    this.connection = connection;
  }

  show(devices) {
    state.devices = devices.map((device) => ({ ...device, here: device.device_id === deviceId() }));
  }

  online(userId, is) {
    state.presence.set(userId, is);
    for (const { members } of state.conversations.values()) {
      for (const member of members ?? []) if (member.user_id === userId) member.online = is;
    }
  }

  // This page has everything of the conversation up to its head. What is lost is told after the next catch-up.
  handed(c) {
    if (!this.#due.size) setTimeout(() => this.#tell(), TOGETHER_MS);
    this.#due.add(c);
  }

  #tell() {
    const here = deviceId();
    for (const c of [...this.#due].slice(0, AT_ONCE)) {
      this.#due.delete(c);
      const mark = { conversation_id: c.id, seq: c.head };
      if (c.behindOf(here) === 0) continue;
      this.connection.request("delivery:update", mark).then(({ seq }) => c.deliver(state.me, here, seq), () => {});
    }
    if (this.#due.size) setTimeout(() => this.#tell(), TOGETHER_MS);
  }
}
