// Starts the page: signs in, connects, and ties what is done and drawn together.

import { composer } from "./composer.js";
import { $, complain, onClick } from "./dom.js";
import { addressed, drawFrame } from "./frame.js";
import { speak, switchLanguage } from "./i18n.js";
import { furnish, here, want, wantRest } from "./later.js";
import { begin } from "./session.js";
import { changed, onChange, state } from "./state.js";
import { frame, stored } from "./storage.js";
import { timeline } from "./timeline.js";

function start() {
  $("app").hidden = false;
  const { actions, outbox } = begin(follow);
  const writing = composer(actions, () => log.toEnd());
  const log = timeline({ outbox, actions, edit: writing.edit });
  furnish({ actions, log });

  // Go where the address says. Rejects when the connection is lost, so that it is tried again.
  async function follow() {
    here.search?.toggle(false);
    try {
      await actions.open(addressed(location.hash));
    } catch (error) {
      if (error.retryable) throw error;
      complain(error);
      location.hash = "";
    }
  }
  addEventListener("hashchange", () => follow().catch(() => {}));
  addEventListener("keydown", async (event) => (here.keys ?? (await want("keys"))).press(event));
  onClick({ stop: () => actions.stop(state.open), back: () => (location.hash = "") });
  const rest = () => state.link === "online" && wantRest();
  for (const draw of [drawFrame, log.draw, writing.draw, rest]) onChange(draw);
  changed();
}

// Whatever a person does may be refused, and is told here.
addEventListener("unhandledrejection", (event) => complain(event.reason, event.preventDefault()));
for (const button of document.querySelectorAll(".language")) button.onclick = () => switchLanguage().then(changed);
await speak();
if (frame) await want("report");
if (stored.token) start();
else (await want("signin")).signIn(start);
