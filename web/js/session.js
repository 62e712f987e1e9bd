// One person's stay on this page: connection, outbox, conversations and devices, tied together.

import { Actions } from "./actions.js";
import { Connection } from "./connection.js";
import { Devices } from "./devices.js";
import { Following } from "./following.js";
import { here } from "./later.js";
import { Outbox } from "./outbox.js";
import { changed, onChange, state } from "./state.js";
import { deviceId, deviceName, signOut, stored } from "./storage.js";

// Connect, and stay connected. `arrive` goes where the address says; it rejects when the connection was lost.
export function begin(arrive) {
  let met = false; // there has been a connection
  let told = "";
  const auth = () => ({ token: stored.token, device_id: deviceId(), device_name: deviceName() });
  const connection = new Connection(stored.nodes ?? [location.origin], auth, {
    refused: (error) => (error.code === "token_revoked" ? ended(error) : signOut(error)),
    ready({ node, nodes = [], user_id, name, graphs, ...ready }) {
      Object.assign(state, { node, nodes, me: user_id, name, graphs });
      state.names.set(user_id, name);
      devices.show(ready.devices);
      outbox.open();
      following.begin(async () => {
        if (!met || state.opening) await arrive();
        met = true;
      });
    },
    event(name, payload) {
      if (name === "conversation:updated") following.listSoon();
      else if (name === "device:updated") devices.show(payload.devices);
      else if (name === "presence:update") devices.online(payload.user_id, payload.online);
      else if (name === "session:ended") ended({ code: "token_revoked" });
      else if (payload?.conversation_id) following.hear(name, payload);
      changed();
    },
  });
  const outbox = new Outbox(connection);
  const devices = new Devices(connection);
  const following = new Following(connection, outbox, devices);
  const actions = new Actions(connection, following, outbox);

  // Signed out on another device: nothing of this person's stays here.
  async function ended(why) {
    connection.close();
    await outbox.forget();
    stored.device = null;
    signOut(why);
  }

  onChange(() => {
    const { open, node } = state;
    state.behind = 0;
    for (const { delivery } of state.conversations.values()) state.behind += delivery?.missing ?? 0;
    const working = following.catchingUp || open?.syncing || open?.delivery?.missing;
    if (connection.ready) state.link = working ? "catching" : "online";
    else state.link = !navigator.onLine ? "offline" : met ? "reconnecting" : "connecting";
    if (told !== (told = state.link + node)) here.report?.tell("link", { link: state.link, node });
  });
  here.report?.obey(actions);
  return { actions, outbox };
}
