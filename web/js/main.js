// Starts the page: signs in, connects, and ties what is done and drawn together.

import { composer } from "./composer.js";
import { $, complain, copy, h, onClick, onSubmit } from "./dom.js";
import { address, addressed, drawFrame } from "./frame.js";
import { speak, switchLanguage, t } from "./i18n.js";
import "./keys.js";
import { people } from "./people.js";
import { search } from "./search.js";
import { begin } from "./session.js";
import { signIn } from "./signin.js";
import { changed, onChange, state } from "./state.js";
import { stored } from "./storage.js";
import { timeline } from "./timeline.js";

function start() {
  $("app").hidden = false;
  const { actions, outbox } = begin(follow);
  const writing = composer(actions, () => log.toEnd());
  const log = timeline({ outbox, actions, edit: writing.edit });
  const find = search(log);

  // Go where the address says. Rejects when the connection is lost, so that it is tried again.
  async function follow() {
    find(false);
    try {
      await actions.open(addressed(location.hash));
    } catch (error) {
      if (error.retryable) throw error;
      complain(error);
      location.hash = "";
    }
  }
  addEventListener("hashchange", () => follow().catch(() => {}));
  for (const draw of [drawFrame, log.draw, writing.draw, people(actions)]) onChange(draw);
  buttons(actions);
  changed();
}

function buttons(actions) {
  const dialog = $("new-dialog");
  const enter = (id, act) =>
    onSubmit($(id), async (fields) => {
      location.hash = address(await act(fields));
      dialog.close();
      $(id).reset();
    });
  enter("create-form", (settings) => actions.create(settings));
  enter("join-form", ({ where }) => addressed(where) || where.trim());
  onClick({
    new() {
      $("which-graph").hidden = !state.graphs[1];
      $("graphs").replaceChildren(...state.graphs.map((name) => h("option", name)));
      dialog.showModal();
    },
    stop: () => actions.stop(state.open),
    back: () => (location.hash = ""),
    "copy-link": () => copy(location.href, t("copied")),
    "copy-id": () => copy(state.me, t("copied")),
    "copy-token": () => copy(stored.token, t("copied")),
    "sign-out": () => actions.signOut(),
    leave() {
      $("people").hidePopover();
      return actions.leave(state.open);
    },
  });
}

// Whatever a person does may be refused, and is told here.
addEventListener("unhandledrejection", (event) => complain(event.reason, event.preventDefault()));
for (const button of document.querySelectorAll(".language")) button.onclick = () => switchLanguage().then(changed);
await speak();
if (stored.token) start();
else signIn(start);
