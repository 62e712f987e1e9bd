// Starts the page: signs in, connects, and ties what is done and drawn together.

import { Composer } from "./composer.js";
import { $, complain, copy, h } from "./dom.js";
import { address, addressed, drawFrame } from "./frame.js";
import { speak, switchLanguage, t } from "./i18n.js";
import "./keys.js";
import { People } from "./people.js";
import { Search } from "./search.js";
import { begin } from "./session.js";
import { signIn } from "./signin.js";
import { changed, onChange, state } from "./state.js";
import { stored } from "./storage.js";
import { Timeline } from "./timeline.js";

function start() {
  $("app").hidden = false;
  const { actions, outbox } = begin(follow);
  const composer = new Composer(actions, () => timeline.toEnd());
  const timeline = new Timeline(outbox, actions, (entry) => composer.edit(entry));
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
  for (const part of [{ draw: drawFrame }, timeline, composer, people]) onChange(() => part.draw());
  buttons(actions);
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
    $("which-graph").hidden = state.graphs.length < 2;
    $("graphs").replaceChildren(...state.graphs.map((name) => h("option", {}, name)));
    dialog.showModal();
  });
  on("stop", () => actions.stop(state.open).catch(complain));
  on("back", () => (location.hash = ""));
  on("copy-link", () => copy(location.href, t("copied")));
  on("copy-id", () => copy(state.me, t("copied")));
  on("copy-token", () => copy(stored.token, t("copied")));
  on("sign-out", () => actions.signOut());
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
