// Starts the page: signs in, connects, and ties what is heard, done and drawn together.

import { Composer } from "./composer.js";
import { $, complain, copy } from "./dom.js";
import { address, addressed, drawFrame } from "./frame.js";
import { switchLanguage, t, translate } from "./i18n.js";
import { begin } from "./session.js";
import { signIn } from "./signin.js";
import { changed, onChange, state } from "./state.js";
import { stored } from "./storage.js";
import { Timeline } from "./timeline.js";

function start() {
  $("app").hidden = false;
  const { actions, outbox } = begin(follow);
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
  $("sign-out").onclick = () => actions.signOut();
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
