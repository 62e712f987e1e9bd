// The stage: signs two people in on three devices, follows the trace, plays the parts, and draws what really happens.

import { io } from "/vendor/socket.io.esm.min.js";

import { Control } from "./control.js";
import { Drawing } from "./drawing.js";
import { Figures } from "./figures.js";
import { DEVICES, listen, look, open, tell } from "./frames.js";
import { Panel } from "./panel.js";
import { PARTS } from "./parts.js";
import { Picture } from "./picture.js";
import { Script } from "./script.js";
import { follow } from "./trace.js";
import { language, speak, t, wantedLanguage } from "./words.js";

const HOLD_MS = 4500; // a result is read before the next part begins
const LOOK_MS = 60; // conditions on what frames show are looked at this often
const RETURN_MS = 8000;
const DRAW_MS = 40;
const STATUS_MS = 2000;
const $ = (id) => document.getElementById(id);
const random = (prefix) => `${prefix}-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const state = { key: "", hello: null, control: null, conversation: "", users: null, live: false, status: null, doing: null, since: 0 };
const ids = Object.fromEntries(DEVICES.map((name) => [name, random(name)]));
const figures = new Figures(DEVICES);
const picture = new Picture(Object.fromEntries(DEVICES.map((name) => [ids[name], name])));
const script = new Script(PARTS.length);
const drawing = new Drawing($("drawing"), picture);
const waiting = new Set(); // looked at whenever something happened

const panel = new Panel(state, { picture, figures, script, act: command });

let due = false;

// Something happened: look whether it was waited for, and draw once, soon.
function changed() {
  for (const look of waiting) look();
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    drawing.draw();
    panel.draw();
  }, DRAW_MS);
}

// What a part may use. Everything waits while the script is paused, and throws when another part was begun.
function actions(turn) {
  const undo = [];
  const here = () => {
    if (turn !== script.turn) throw new Aborted();
  };
  const until = (holds, limit = 10_000) =>
    new Promise((done, fail) => {
      const end = (value, error) => {
        clearInterval(ticking);
        clearTimeout(timer);
        waiting.delete(look);
        if (error) fail(error);
        else done(value);
      };
      const look = () => {
        if (turn !== script.turn) end(false, new Aborted());
        else if (holds()) end(true);
      };
      const timer = setTimeout(() => end(Boolean(holds())), limit);
      const ticking = setInterval(look, LOOK_MS);
      waiting.add(look);
      look();
    });
  const rest = async (ms) => {
    await wait(ms);
    here();
    if (!script.playing) await until(() => script.playing, 2 ** 31 - 1);
  };
  return {
    picture, figures, look, until, rest, tell,
    control: state.control,
    say: (key, values) => (here(), (state.doing = [key, values]), changed()),
    send: (name, text) => (here(), tell(name, { do: "send", text })),
    open: (name) => openDevice(name),
    undoing: (back) => undo.push(back),
    undo: () => Promise.allSettled(undo.splice(0).map((back) => back())),
  };
}

class Aborted extends Error {}

let performing = Promise.resolve();

// Play the part that the script names, once the one before has put back what it had disturbed.
function begin() {
  const { turn, part } = script;
  state.doing = null;
  changed();
  performing = performing.then(async () => {
    if (turn !== script.turn) return;
    const act = actions(turn);
    state.since = Date.now();
    // A device may still be where begins what it has missed.
    for (const name of DEVICES) look(name, "#to-end:not([hidden])")[0]?.click();
    let result = null;
    try {
      // What the part before has disturbed may still be on its way back.
      await act.until(() => DEVICES.every((name) => picture.device(name).link === "online"), RETURN_MS);
      result = await PARTS[part](act);
      await act.rest(0);
    } catch (error) {
      if (!(error instanceof Aborted)) result = { held: false, why: "part_failed", error: error.message };
    } finally {
      await act.undo();
    }
    state.doing = null;
    if (!result || !script.ended(turn, result)) return;
    changed();
    setTimeout(() => script.goOn(turn) && begin(), HOLD_MS);
  });
}

const doing = (move) => () => {
  if (!state.users) return;
  if (move()) begin();
  changed();
};

// A button of the panel: the controller does it, and its refusal is said.
async function command(act) {
  try {
    await act(state.control);
  } catch (error) {
    state.doing = ["refused", { why: error.message }];
  }
  changed();
}

async function guest(name) {
  const body = JSON.stringify({ name });
  const answer = await fetch("/api/guest", { method: "POST", body, headers: { "Content-Type": "application/json" } });
  const made = await answer.json();
  if (!made.token) throw new Error(made.error?.message);
  return made;
}

// Create the conversation as one of Ann's devices; the frames join it by its address.
function create(token) {
  const conversation_id = random("stage");
  const socket = io({ transports: ["websocket"], auth: { token, device_id: ids.laptop }, forceNew: true });
  return new Promise((done, fail) => {
    socket.on("session:ready", async () => {
      const request = { conversation_id, title: t("title"), access: "open", agent: "mention" };
      const ack = await socket.timeout(8000).emitWithAck("conversation:create", request).catch((error) => ({ error }));
      socket.close();
      if (ack.ok) done(conversation_id);
      else fail(new Error(ack.error.message));
    });
    socket.on("connect_error", fail);
  });
}

function openDevice(name) {
  const at = DEVICES.indexOf(name);
  const { nodes } = state.hello;
  const proxy = state.control?.devices.get(name)?.url;
  figures.forget(name);
  picture.device(name).link = "connecting";
  open(name, state.conversation, {
    token: state.users[name].token,
    device: ids[name],
    device_name: t(name),
    nodes: proxy ? [proxy] : nodes.map((_, step) => nodes[(at + step) % nodes.length]),
    lang: language(),
  });
  changed();
}

async function start(hello) {
  state.hello = hello;
  sessionStorage.setItem("roomgraph.stage", JSON.stringify({ key: state.key, nodes: hello.nodes }));
  if (hello.control) {
    state.control = new Control(hello.control, state.key, (nodes) => {
      for (const { port, running } of nodes) picture.known(String(port), running);
      changed();
    });
    await command((control) => control.refresh());
    setInterval(() => command((control) => control.refresh()), STATUS_MS);
  }
  const [ann, bob] = [await guest(t("ann")), await guest(t("bob"))];
  const users = { laptop: ann, phone: ann, terminal: bob };
  state.conversation = await create(ann.token);
  state.users = users;
  for (const name of DEVICES) openDevice(name);
  readStatus(ann.token);
}

async function readStatus(token) {
  const headers = { Authorization: `Bearer ${token}` };
  for (;;) {
    try {
      const answer = await fetch("/api/status", { headers, cache: "no-store" });
      state.status = answer.ok ? await answer.json() : null;
    } catch {
      state.status = null;
    }
    changed();
    await wait(STATUS_MS);
  }
}

function hear(event) {
  if (event.kind === "hello" && !state.hello) return start(event).catch((error) => close("failed", error.message));
  if (event.kind === "beat" || event.kind === "hello") return;
  if (event.conversation_id && event.conversation_id !== state.conversation) return;
  for (const hop of picture.hear(event)) drawing.move(hop);
  changed();
}

function close(why, reason) {
  state.closed = [why, { why: reason }];
  panel.draw();
}

// The key comes in the address and does not stay there.
function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem("roomgraph.stage"));
  } catch {
    // Not ours: as if there were none.
  }
  if (given) history.replaceState(null, "", location.pathname);
  return { nodes: [], ...kept, ...(given && { key: given }) };
}

async function main() {
  const { key, nodes } = takeKey();
  await speak(wantedLanguage());
  state.key = key;
  if (!key) return close("noKey");
  const urls = () => [...new Set([location.origin, ...(state.hello?.nodes ?? nodes)])];
  const connected = (live) => ((state.live = live), changed());
  const refused = (status) => close(status === 404 ? "notHere" : "wrongKey");
  listen((name, report) => {
    if (report.conversation_id && report.conversation_id !== state.conversation) return;
    figures.hear(name, report);
    picture.report(name, report);
    changed();
  });
  $("play").onclick = doing(() => (script.playing ? script.pause() : script.play()));
  $("next").onclick = doing(() => script.next());
  $("language").onclick = async () => {
    await speak(language() === "zh" ? "en" : "zh");
    for (const name of DEVICES) {
      const [root] = look(name, ":root");
      if (root?.lang && root.lang.slice(0, 2) !== language()) look(name, ".language")[0]?.click();
    }
    changed();
  };
  panel.build((part) => doing(() => script.choose(part)));
  changed();
  follow({ key, nodes: urls, hear, connected, refused });
}

main();
