// Starts the page: signs in, connects, and ties what is heard, done and drawn together.

import { Actions } from "./actions.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { $, complain, copy } from "./dom.js";
import { Following } from "./following.js";
import { address, addressed, drawFrame } from "./frame.js";
import { switchLanguage, t, translate } from "./i18n.js";
import { Outbox } from "./outbox.js";
import { signIn } from "./signin.js";
import { changed, onChange, state } from "./state.js";
import { deviceId, deviceName, signOut, stored } from "./storage.js";
import { Timeline } from "./timeline.js";

function start() {
  $("app").hidden = false;
  const auth = { token: stored.token, device_id: deviceId(), device_name: deviceName() };
  let met = false; // there has been a connection
  const connection = new Connection(auth, {
    refused: signOut,
    state: changed,
    ready({ node, user_id, name }) {
      Object.assign(state, { node, me: user_id, name });
      state.names.set(user_id, name);
      following.begin(async () => {
        if (!met || state.opening) await follow();
        met = true;
      });
    },
    event(name, payload) {
      if (name === "conversation:updated") following.listSoon();
      else if (payload?.conversation_id) following.hear(name, payload);
    },
  });
  const outbox = new Outbox(connection);
  const following = new Following(connection, outbox);
  const actions = new Actions(connection, following, outbox);
  const timeline = new Timeline(outbox, actions);
  const composer = new Composer(actions, () => timeline.toEnd());

  // Go where the address says. Rejects when the connection is lost, so that it is tried again.
  async function follow() {
    try {
      await actions.open(addressed(location.hash));
    } catch (error) {
      if (error.retryable) throw error;
      complain(error);
      location.hash = "";
    }
  }
  addEventListener("hashchange", () => follow().catch(() => {}));

  onChange(() => {
    const working = following.catchingUp || state.open?.syncing || state.open?.delivery?.behind;
    if (connection.ready) state.link = working ? "catching" : "online";
    else if (!navigator.onLine) state.link = "offline";
    else state.link = met ? "reconnecting" : "connecting";
    drawFrame();
    timeline.draw();
    composer.draw();
  });
  buttons(actions);
  changed();
}

function buttons(actions) {
  const dialog = $("new-dialog");
  const onSubmit = (id, act) =>
    $(id).addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        location.hash = address(await act(Object.fromEntries(new FormData($(id)))));
        dialog.close();
        $(id).reset();
      } catch (error) {
        complain(error);
      }
    });
  onSubmit("create-form", (form) => actions.create(form));
  onSubmit("join-form", ({ where }) => addressed(where) || where.trim());
  $("new").onclick = () => dialog.showModal();
  $("stop").onclick = () => actions.stop(state.open).catch(complain);
  $("back").onclick = () => (location.hash = "");
  $("copy-link").onclick = () => copy(location.href, t("copied"));
  $("copy-token").onclick = () => copy(stored.token, t("copied"));
  $("sign-out").onclick = () => signOut();
  $("leave").onclick = () => actions.leave(state.open).catch(complain);
}

for (const button of document.querySelectorAll(".language")) {
  button.onclick = () => {
    switchLanguage();
    changed();
  };
}
translate();
if (stored.token) start();
else signIn(start);
