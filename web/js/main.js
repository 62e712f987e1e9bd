// Starts the page: signs in, connects, and wires actions to what is drawn.

import { Actions } from "./actions.js";
import { $, complain, onClick, toast } from "./dom.js";
import { speak, switchLanguage, t } from "./i18n.js";
import { lazy, loadWhenIdle, provide } from "./lazy.js";
import { beginClient, changed, onChange, state } from "./state.js";
import { frame, stored } from "./storage.js";
import { composer } from "./view/composer.js";
import { addressed, drawHeader } from "./view/header.js";
import { timeline } from "./view/timeline.js";

// `newcomer`: a guest who has just given a name; a conversation with the agent is ready for them.
function start(newcomer) {
  $("app").hidden = false;
  const client = beginClient();
  const actions = new Actions(client);
  const { connection, outbox } = client;
  const field = composer(() => log.toEnd());
  const stop = (c, run) => c.stop(run);
  const log = timeline({ connection, outbox, stop });
  provide({ client, actions, log, field });
  lazy.listView.load();
  lazy.lines.load(); // while it connects
  bridge?.obey(client);

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
  client.whenConnected = async () => {
    state.refusal = null;
    if (!client.met || state.opening) await openAddressed();
  };
  client.on("failed", async () => {
    const refusal = await import("./refusal.js").then(({ diagnose }) => diagnose(), () => ({ code: "unreachable" }));
    if (!connection.ready) state.refusal = refusal;
    changed();
  });
  client.on("ended", async (error) => (await lazy.signOut.load()).endSession(client, error));
  client.on("reset", () => toast(t("reset")));
  client.on("removed", (c) => {
    if (c !== state.open) return;
    toast(t(c.over ? "wasDeleted" : "gone", { title: c.title }));
    location.hash = "";
  });
  document.addEventListener("visibilitychange", () => connection.checkNetwork());
  addEventListener("hashchange", () => {
    if (location.hash.startsWith("#device=")) location.reload();
    else openAddressed().catch(() => {});
  });
  addEventListener("keydown", async (event) => (lazy.shortcuts.loaded ?? (await lazy.shortcuts.load())).press(event));
  onClick({
    stop: () => stop(state.open),
    back: () => (location.hash = ""),
    reconnect: () => connection.reconnect(),
  });
  const rest = () => state.link === "online" && loadWhenIdle();
  const welcome = () => state.open?.loaded && !state.open.last && lazy.welcome.load();
  for (const draw of [drawHeader, log.draw, field.draw, welcome, rest]) onChange(draw);
  client.connect();
}

// Any request of the person's may be refused; the reason is shown here.
addEventListener("unhandledrejection", (event) => complain(event.reason, event.preventDefault()));
for (const button of document.querySelectorAll(".language")) button.onclick = () => switchLanguage().then(changed);
await speak();
const bridge = frame && (await import("./stage/page_bridge.js"));
if (stored.token && !location.hash.startsWith("#device=")) start();
else (await import("./view/sign_in.js")).signIn(start);
