// This person's devices, who is online, and the marks that tell up to where this page has been given each conversation.

import { changed, state } from "./state.js";
import { deviceId, stored } from "./storage.js";

const TOGETHER_MS = 250; // at most one mark of a conversation in this time
const AT_ONCE = 20;

export class Devices {
  #due = new Set(); // conversations whose mark is to be told
  #timer = 0;

  constructor(connection) {
    this.connection = connection;
  }

  // All of them, each time. A name that was chosen on another device is this one's from now on.
  show(devices) {
    const device_id = deviceId();
    state.devices = devices.map((device) => ({ ...device, here: device.device_id === device_id }));
    const name = state.devices.find((device) => device.here)?.device_name;
    if (name) stored.device_name = name;
  }

  // Whether somebody is online, here and among the members of each conversation.
  online(userId, is) {
    state.presence.set(userId, is);
    for (const { members } of state.conversations.values()) {
      const member = members?.find((one) => one.user_id === userId);
      if (member) member.online = is;
    }
  }

  // This page has everything of the conversation up to its head.
  handed(c) {
    if (c.behindOf(deviceId()) === 0) return;
    this.#due.add(c);
    this.#timer ||= setTimeout(() => this.#tell(), TOGETHER_MS);
  }

  #tell() {
    this.#timer = 0;
    for (const c of [...this.#due].slice(0, AT_ONCE)) {
      this.#due.delete(c);
      const mark = { conversation_id: c.id, seq: c.head };
      // What is lost is told after the next catch-up.
      this.connection.request("delivery:update", mark).then(
        ({ seq }) => c.deliver(state.me, deviceId(), seq),
        () => {},
      );
    }
    if (this.#due.size) this.#timer = setTimeout(() => this.#tell(), TOGETHER_MS);
    changed();
  }
}
