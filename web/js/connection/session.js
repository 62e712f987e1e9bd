// Wires connection, outbox and conversations together, and gives each event to its handler.

import { base } from "../address.js";
import { Actions } from "../conversation/actions.js";
import { Following } from "../conversation/following.js";
import { lazy } from "../lazy.js";
import { changed, onChange, state } from "../state.js";
import { deviceId, deviceName, stored } from "../storage.js";
import { Connection } from "./connection.js";
import { Outbox } from "./outbox.js";

// `openAddressed` opens the conversation that the address names.
export function begin(openAddressed) {
  let met = false; // there has been a connection
  const auth = () => ({ token: stored.token, device_id: deviceId(), device_name: deviceName() });
  const setDevices = (devices) => (state.devices = devices.map((one) => ({ ...one, here: one.device_id === deviceId() })));
  const end = async (error) => {
    connection.close();
    (await lazy.signOut.load()).endSession(outbox, error);
  };
  const connection = new Connection(stored.nodes ?? [base], auth, {
    refused: end,
    async failed() {
      const refusal = await import("./refusal.js").then(({ diagnose }) => diagnose(), () => ({ code: "unreachable" }));
      if (!connection.ready) state.refusal = refusal;
      changed();
    },
    ready({ node, user_id, name, graphs, devices, features }) {
      Object.assign(state, { node, me: user_id, name, graphs, features, refusal: null });
      state.names.set(user_id, name);
      setDevices(devices);
      outbox.start();
      following.begin(async () => {
        if (!met || state.opening) await openAddressed();
        met = true;
      });
    },
    event(name, payload) {
      if (name === "conversation:changed") following.readListSoon();
      else if (name === "devices:changed") setDevices(payload.devices);
      else if (name === "presence:changed") lazy.people.loaded?.setOnline(payload.user_id, payload.online);
      else if (name === "session:ended") end({ code: `session_${payload.reason}` });
      else if (payload?.conversation_id) following.onEvent(name, payload);
      changed();
    },
  });
  const outbox = new Outbox(connection);
  const following = new Following(connection, outbox);
  const actions = new Actions(connection, following, outbox);

  onChange(() => {
    const { open } = state;
    state.behind = 0;
    for (const c of state.conversations.values()) state.behind += Math.max(0, c.stream.head - c.head);
    const working = following.catchingUp || open?.stream.syncing;
    if (connection.ready) state.link = working ? "catching" : "online";
    else state.link = !navigator.onLine ? "offline" : met ? "reconnecting" : "connecting";
  });
  return { connection, outbox, actions };
}
