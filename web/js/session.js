// One person's stay on this page: connection, outbox, conversations and devices, tied together.

import { Actions } from "./actions.js";
import { Connection } from "./connection.js";
import { Devices } from "./devices.js";
import { Following } from "./following.js";
import { Outbox } from "./outbox.js";
import { obey, report } from "./report.js";
import { onChange, state } from "./state.js";
import { deviceId, deviceName, signOut, stored } from "./storage.js";

// Connect, and stay connected. `arrive` goes where the address says; it rejects when the connection was lost.
export function begin(arrive) {
  let met = false; // there has been a connection
  const auth = () => ({ token: stored.token, device_id: deviceId(), device_name: deviceName() });
  const connection = new Connection(stored.nodes ?? [location.origin], auth, {
    refused: signOut,
    ready({ node, nodes, user_id, name, graphs, devices }) {
      Object.assign(state, { node, nodes: nodes ?? [], me: user_id, name, graphs });
      state.names.set(user_id, name);
      people.show(devices);
      outbox.open();
      following.begin(async () => {
        if (!met || state.opening) await arrive();
        met = true;
      });
    },
    event(name, payload) {
      if (name === "conversation:updated") following.listSoon();
      else if (name === "device:updated") people.show(payload.devices);
      else if (name === "presence:update") people.online(payload.user_id, payload.online);
      else if (name === "session:ended") ended(payload);
      else if (payload?.conversation_id) following.hear(name, payload);
    },
  });
  const outbox = new Outbox(connection);
  const people = new Devices(connection);
  const following = new Following(connection, outbox, people);
  const actions = new Actions(connection, following, outbox);

  // Signed out on another device: nothing of this person's stays here.
  async function ended({ reason, by }) {
    connection.close();
    await outbox.forget();
    stored.device = null;
    signOut({ code: reason, message: by?.device_name ?? "" });
  }

  let link = "";
  onChange(() => {
    const { open } = state;
    state.behind = 0;
    for (const { delivery } of state.conversations.values()) state.behind += delivery?.missing ?? 0;
    if (connection.ready) state.link = following.catchingUp || open?.syncing || open?.delivery?.missing ? "catching" : "online";
    else if (!navigator.onLine) state.link = "offline";
    else state.link = met ? "reconnecting" : "connecting";
    if (link !== (link = `${state.link} ${state.node}`)) report("link", { link: state.link, node: state.node });
  });
  obey({
    send: ({ text }) => actions.send(state.open, text),
    draft: ({ text }) => state.open.draft.edit(text),
    respond: ({ value }) => actions.respond(state.open, [...state.open.asked][0], value),
    stop: () => actions.stop(state.open),
  });
  return { actions, outbox };
}
