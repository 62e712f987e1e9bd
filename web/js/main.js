// Starts the page: signs in, connects, and ties what is heard, done and drawn together.

import { Actions } from "./actions.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { $, complain, copy, h } from "./dom.js";
import { Following } from "./following.js";
import { address, addressed, drawFrame } from "./frame.js";
import { speak, switchLanguage, t } from "./i18n.js";
import { listenToKeys } from "./keys.js";
import { Outbox } from "./outbox.js";
import { People } from "./people.js";
import { Search } from "./search.js";
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
    ready({ node, user_id, name, graphs }) {
      Object.assign(state, { node, me: user_id, name, graphs });
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
  const composer = new Composer(actions, () => timeline.toEnd());
  const timeline = new Timeline(outbox, actions, composer);
  const people = new People(actions);
  const search = new Search(timeline);

  // Go where the address says. Rejects when the connection is lost, so that it is tried again.
  async function follow() {
    search.toggle(false);
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
    people.draw();
  });
  buttons(actions);
  listenToKeys({ timeline, search, composer });
  changed();
}

function buttons(actions) {
  const dialog = $("new-dialog");
  const onSubmit = (id, act) => {
    $(id).onsubmit = async (event) => {
      event.preventDefault();
      try {
        location.hash = address(await act(Object.fromEntries(new FormData($(id)))));
        dialog.close();
        $(id).reset();
      } catch (error) {
        complain(error);
      }
    };
  };
  onSubmit("create-form", (form) => actions.create(form));
  onSubmit("join-form", ({ where }) => addressed(where) || where.trim());
  const on = (id, act) => ($(id).onclick = act);
  on("new", () => {
    const { graphs = [] } = state;
    $("which-graph").hidden = graphs.length < 2;
    $("graphs").replaceChildren(...graphs.map((name) => h("option", {}, name)));
    dialog.showModal();
  });
  on("stop", () => actions.stop(state.open).catch(complain));
  on("back", () => (location.hash = ""));
  on("copy-link", () => copy(location.href, t("copied")));
  on("copy-id", () => copy(state.me, t("copied")));
  on("copy-token", () => copy(stored.token, t("copied")));
  on("sign-out", () => signOut());
  on("leave", () => {
    $("people").hidePopover();
    actions.leave(state.open).catch(complain);
  });
}

for (const button of document.querySelectorAll(".language")) {
  button.onclick = () => switchLanguage().then(changed, complain);
}
await speak();
if (stored.token) start();
else signIn(start);
