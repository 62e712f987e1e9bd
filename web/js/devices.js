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
      const member = members?.find((one) => one.user_id === userId);
      if (member) member.online = is;
    }
  }

  // This page has everything of the conversation up to its head.
  handed(c) {
    if (!this.#due.size) setTimeout(() => this.#tell(), TOGETHER_MS);
    this.#due.add(c);
  }

  // What is lost here is told after the next catch-up.
  #tell() {
    const here = deviceId();
    for (const c of [...this.#due].slice(0, AT_ONCE)) {
      this.#due.delete(c);
      if (c.behindOf(here) === 0) continue;
      const mark = { conversation_id: c.id, seq: c.head };
      this.connection.request("delivery:update", mark).then(({ seq }) => c.deliver(state.me, here, seq), () => {});
    }
    if (this.#due.size) setTimeout(() => this.#tell(), TOGETHER_MS);
  }
}
