// One person's stay on this page: what is heard, and who is told.

import { Actions } from "./actions.js";
import { Connection } from "./connection.js";
import { Following } from "./following.js";
import { here } from "./later.js";
import { Outbox } from "./outbox.js";
import { changed, onChange, state } from "./state.js";
import { deviceId, deviceName, stored } from "./storage.js";

// `arrive`: go where the address says.
export function begin(arrive) {
  let met = false; // there has been a connection
  let told = "";
  const auth = () => ({ token: stored.token, device_id: deviceId(), device_name: deviceName() });
  const show = (devices) => (state.devices = devices.map((one) => ({ ...one, here: one.device_id === deviceId() })));
  const connection = new Connection(stored.nodes ?? [location.origin], auth, {
    refused: (error) => actions.refused(error),
    ready({ node, nodes = [], user_id, name, graphs, ...ready }) {
      Object.assign(state, { node, nodes, me: user_id, name, graphs });
      state.names.set(user_id, name);
      show(ready.devices);
      outbox.open();
      following.begin(async () => {
        if (!met || state.opening) await arrive();
        met = true;
      });
    },
    event(name, payload) {
      if (name === "conversation:updated") following.listSoon();
      else if (name === "device:updated") show(payload.devices);
      else if (name === "presence:update") here.deeds?.online(payload.user_id, payload.online);
      else if (name === "session:ended") actions.ended(payload);
      else if (payload?.conversation_id) following.hear(name, payload);
      changed();
    },
  });
  const outbox = new Outbox(connection);
  const following = new Following(connection, outbox);
  const actions = new Actions(connection, following, outbox);

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
