// Starts the page: signs in, connects, and wires actions to what is drawn.

import { begin } from "./connection/session.js";
import { $, complain, onClick } from "./dom.js";
import { speak, switchLanguage } from "./i18n.js";
import { lazy, loadWhenIdle, provide } from "./lazy.js";
import { changed, onChange, state } from "./state.js";
import { frame, stored } from "./storage.js";
import { composer } from "./view/composer.js";
import { addressed, drawHeader } from "./view/header.js";
import { timeline } from "./view/timeline.js";

// `newcomer`: a guest who has just given a name; a conversation with the agent is ready for them.
function start(newcomer) {
  $("app").hidden = false;
  const { connection, outbox, actions } = begin(openAddressed);
  const field = composer(actions, () => log.toEnd());
  const stop = async (c, run) => (await lazy.requests.load()).stop(connection, c, run);
  const log = timeline({ connection, outbox, edit: field.edit, stop });
  provide({ connection, outbox, actions, log });
  lazy.listView.load();
  bridge?.obey(connection, actions);

  // Open the conversation that the address names. Rejects when the connection is lost, so that it is tried again.
  async function openAddressed() {
    lazy.search.loaded?.toggle(false);
    const id = addressed(location.hash);
    if (id) newcomer = false;
    try {
      if (newcomer) await (await lazy.newConversation.load()).create();
      else await actions.open(id);
      await jumpTo(/&at=(\d+)/.exec(location.hash)?.[1]);
      newcomer = false;
    } catch (error) {
      if (error.retryable) throw error;
      newcomer = false;
      complain(error);
      location.hash = "";
    }
  }
  // To a message that the address names.
  async function jumpTo(seq) {
    if (!seq || !state.open) return;
    history.replaceState(null, "", location.hash.replace(/&at=.*/, ""));
    (await lazy.search.load()).jump(Number(seq));
  }
  addEventListener("hashchange", () => openAddressed().catch(() => {}));
  addEventListener("keydown", async (event) => (lazy.shortcuts.loaded ?? (await lazy.shortcuts.load())).press(event));
  onClick({
    stop: () => stop(state.open),
    back: () => (location.hash = ""),
    reconnect: () => connection.reconnect(),
  });
  const rest = () => state.link === "online" && loadWhenIdle();
  const welcome = () => state.open?.loaded && !state.open.last && lazy.welcome.load();
  for (const draw of [drawHeader, log.draw, field.draw, welcome, rest]) onChange(draw);
  changed();
}

// Any request of the person's may be refused; the reason is shown here.
addEventListener("unhandledrejection", (event) => complain(event.reason, event.preventDefault()));
for (const button of document.querySelectorAll(".language")) button.onclick = () => switchLanguage().then(changed);
await speak();
const bridge = frame && (await import("./stage/page_bridge.js"));
if (stored.token) start();
else (await import("./view/sign_in.js")).signIn(start);
