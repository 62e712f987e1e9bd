// Starts the page: signs in, connects, and wires actions to what is drawn.

import { $, complain, onClick } from "./dom.js";
import { speak, switchLanguage } from "./i18n.js";
import { lazy, loadWhenIdle, provide } from "./lazy.js";
import { beginClient, changed, onChange, state } from "./state.js";
import { frame, stored } from "./storage.js";
import { composer } from "./view/composer.js";
import { addressed, drawHeader } from "./view/header.js";

// `newcomer`: a guest who has just given a name; a conversation with the agent is ready for them.
function start(newcomer) {
  $("app").hidden = false;
  const client = beginClient();
  const { connection, following } = client;
  // List and log come while the page connects: until then they have nothing to show.
  const log = {
    draw: () => lazy.log.loaded?.draw(),
    toEnd: () => lazy.log.loaded?.toEnd(),
    reveal: (entry) => lazy.log.loaded?.reveal(entry),
  };
  const field = composer(log.toEnd);
  provide({ client, log, field });
  lazy.listView.load();
  lazy.log.load();
  bridge?.obey(client);

  // Show a conversation, joined first if need be. Rejects when refused.
  async function open(id) {
    state.open?.setTyping(false);
    state.open?.draft.flush();
    const known = state.conversations.get(id);
    if (known) known.divider = null;
    const member = known?.role && known.role !== "invited";
    state.open = member ? known : null;
    state.opening = member ? "" : id;
    changed();
    if (member) known.wanted = true; // without a connection it is loaded with the next one
    if (!id || !connection.ready) return;
    const c = following.add(id);
    try {
      await c.open();
      if (state.opening === id) state.open = c;
    } catch (error) {
      if (!c.role) state.conversations.delete(id);
      throw error;
    } finally {
      if (state.opening === id) state.opening = "";
      changed();
    }
    if (c === state.open) c.divide(Math.max(c.read, c.first - 1), c.head);
  }
  // Open the conversation that the address names. Rejects when the connection is lost, so that it is tried again.
  async function openAddressed() {
    lazy.search.loaded?.toggle(false);
    const id = addressed(location.hash);
    if (id) newcomer = false;
    try {
      if (newcomer) await (await lazy.newConversation.load()).create();
      else await open(id);
      if (location.hash.includes("&at=")) (await lazy.search.load()).jumpToAddressed();
      newcomer = false;
    } catch (error) {
      if (error.retryable) throw error;
      newcomer = false;
      complain(error);
      location.hash = "";
    }
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
  document.addEventListener("visibilitychange", () => connection.checkNetwork());
  addEventListener("hashchange", () => {
    if (location.hash.startsWith("#device=")) location.reload();
    else openAddressed().catch(() => {});
  });
  addEventListener("keydown", async (event) => (lazy.shortcuts.loaded ?? (await lazy.shortcuts.load())).press(event));
  onClick({
    stop: () => state.open.stop(),
    back: () => (location.hash = ""),
    reconnect: () => connection.reconnect(),
  });
  const rest = () => state.link === "online" && loadWhenIdle();
  const welcome = () => state.open?.loaded && !state.open.last && lazy.welcome.load();
  for (const draw of [drawHeader, log.draw, field.draw, welcome, rest]) onChange(draw);
  client.connect();
}

// Any request of the person's may be refused; the reason is shown here. Other errors are the page's own: the browser
// reports them to developers.
addEventListener("unhandledrejection", (event) => {
  complain(event.reason);
  if (typeof event.reason?.code === "string") event.preventDefault();
});
for (const button of document.querySelectorAll(".language")) button.onclick = () => switchLanguage().then(changed);
await speak();
const bridge = frame && (await import("./stage/page_bridge.js"));
if (stored.token && !location.hash.startsWith("#device=")) start();
else (await import("./view/sign_in.js")).signIn(start);
