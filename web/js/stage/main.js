// The stage: signs two people in on three devices, follows the trace, plays the parts and draws what happens.

import { openSocket } from "../../sdk/src/socket.js";
import { random } from "../../sdk/src/wait.js";
import { io } from "../../vendor/socket.io.esm.min.js";
import { base, kept } from "../address.js";
import { ClusterControl } from "./cluster_control.js";
import { PARTS } from "./demo_parts.js";
import { Curtain } from "./curtain.js";
import { command as commandPage, DEVICES, onReports, openFrame, query } from "./device_frames.js";
import { Drawing } from "./drawing.js";
import { DrawingState } from "./drawing_state.js";
import { Figures } from "./figures.js";
import { language, speak, t, wantedLanguage } from "./i18n.js";
import { Panel } from "./panel.js";
import { Playback } from "./playback.js";
import { lacking, verdict } from "./requirements.js";
import { followTrace } from "./trace_stream.js";

const HOLD_MS = 4500; // a result is shown before the next part begins
const CHECK_MS = 60; // between checks of what frames show
const RETURN_MS = 8000;
const FOLLOW_MS = 1000; // a page that has caught up goes to the first message that it missed
const DRAW_MS = 40;
const STATUS_MS = 2000;
const $ = (id) => document.getElementById(id);
const randomId = (prefix) => `${prefix}-${random(2)}`;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const state = { key: "", hello: null, control: null, conversation: "", users: null, live: false, status: null, doing: null, since: 0, disturbed: false, repairing: false };
const ids = Object.fromEntries(DEVICES.map((name) => [name, randomId(name)]));
const figures = new Figures(DEVICES);
const picture = new DrawingState(Object.fromEntries(DEVICES.map((name) => [ids[name], name])));
const playback = new Playback(PARTS.length);
const curtain = new Curtain((name) => query(name, ":root")[0].ownerDocument);
const drawing = new Drawing($("drawing"), picture, (device, seq) => curtain.lift(device, seq));
const waiting = new Set(); // conditions, checked whenever something happens

const panel = new Panel(state, { picture, figures, playback, act: byHand, repair });

let due = false;

// Something happened: check what waits for it, and draw soon, once for all.
function changed() {
  for (const check of waiting) check();
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    drawing.draw();
    panel.draw();
  }, DRAW_MS);
}

// What a part may use. Everything waits while the playback is paused, and throws when another part has begun.
function actions(turn) {
  const undo = [];
  const here = () => {
    if (turn !== playback.turn) throw new Aborted();
  };
  const until = (holds, limit = 10_000) =>
    new Promise((done, fail) => {
      const end = (value, error) => {
        clearInterval(ticking);
        clearTimeout(timer);
        waiting.delete(check);
        if (error) fail(error);
        else done(value);
      };
      const check = () => {
        if (turn !== playback.turn) end(false, new Aborted());
        else if (holds()) end(true);
      };
      const timer = setTimeout(() => end(Boolean(holds())), limit);
      const ticking = setInterval(check, CHECK_MS);
      waiting.add(check);
      check();
    });
  const rest = async (ms) => {
    await wait(ms);
    here();
    if (!playback.playing) await until(() => playback.playing, 2 ** 31 - 1);
  };
  return {
    picture, figures, query, until, rest, command: commandPage,
    control: state.control,
    say: (key, values) => (here(), (state.doing = [key, values]), changed()),
    send: (name, text) => (here(), commandPage(name, { do: "send", text })),
    open: (name) => openDevice(name),
    undoing: (back) => undo.push(back),
    undo: () => Promise.allSettled(undo.splice(0).map((back) => back())),
  };
}

class Aborted extends Error {}

let performing = Promise.resolve();

// Play the current part, once the one before has restored what it disturbed.
function begin() {
  const { turn, part } = playback;
  state.doing = null;
  changed();
  performing = performing.then(async () => {
    if (turn !== playback.turn) return;
    const act = actions(turn);
    let result = null;
    let nodes;
    try {
      await prepare(act);
      nodes = state.control?.running.join();
      state.disturbed = false;
      state.since = Date.now();
      result = lacking(PARTS[part], state.control, picture.alive) ?? (await PARTS[part].play(act));
      await act.rest(0);
    } catch (error) {
      if (!(error instanceof Aborted)) result = { held: false, why: "part_failed", error: error.message };
    } finally {
      await act.undo();
    }
    if (result) result = verdict(result, state.disturbed || nodes !== state.control?.running.join());
    state.doing = null;
    if (!result || !playback.ended(turn, result)) return;
    changed();
    setTimeout(() => playback.advance(turn) && begin(), HOLD_MS);
  });
}

// Nothing that a part or a person has disturbed before may be in the way, and every device shows the log's end.
async function prepare(act) {
  if (state.control) {
    // What a delay still holds up arrives first.
    const late = Math.max(...[...state.control.devices.values()].map(({ delay_ms, jitter_ms }) => delay_ms + jitter_ms));
    await state.control.clearDelays();
    await act.rest(late);
  }
  const level = (name) => picture.device(name).link === "online" && figures.seqOf(name) === picture.head;
  await act.until(() => DEVICES.every(level), RETURN_MS);
  const toEnd = () => DEVICES.forEach((name) => query(name, "#to-end:not([hidden])")[0]?.click());
  toEnd();
  const following = setInterval(toEnd, CHECK_MS);
  setTimeout(() => clearInterval(following), FOLLOW_MS);
}

const doing = (move) => () => {
  if (!state.users) return;
  if (move()) begin();
  changed();
};

// A button of the panel: the controller does it, and a refusal is shown.
async function command(act) {
  try {
    await act(state.control);
  } catch (error) {
    state.doing = ["refused", { why: error.message }];
  }
  changed();
}

// The same, while a part is played: its result would say nothing of the system.
function byHand(act) {
  if (playback.running) state.disturbed = true;
  return command(act);
}

async function repair() {
  const { part } = playback;
  state.repairing = true;
  changed();
  await command((control) => control.clearFaults());
  state.repairing = false;
  if (!playback.running && playback.part === part && playback.choose(part)) begin();
  changed();
}

async function guest(name) {
  const body = JSON.stringify({ name });
  const answer = await fetch("api/guest", { method: "POST", body, headers: { "Content-Type": "application/json" } });
  const made = await answer.json();
  if (!made.token) throw new Error(made.error?.message);
  return made;
}

// Create the conversation as one of Ann's devices; the frames join it.
function create(token) {
  const conversation_id = randomId("stage");
  const socket = openSocket(io, base, { auth: { token, device_id: ids.laptop } });
  return new Promise((done, fail) => {
    socket.on("session:opened", async () => {
      const request = { request_id: "create", conversation_id, title: t("title"), access: "open", agent: "mention" };
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
  openFrame(name, state.conversation, {
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
  sessionStorage.setItem(`${kept}.stage`, JSON.stringify({ key: state.key, nodes: hello.nodes }));
  if (hello.control) {
    state.control = new ClusterControl(hello.control, state.key, (nodes) => {
      for (const { port, running } of nodes) picture.known(String(port), running);
      changed();
    });
    // What an earlier page has left.
    await command((control) => control.clearFaults());
    setInterval(() => command((control) => control.renew()), STATUS_MS);
    addEventListener("pagehide", () => state.control.leave());
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
      const answer = await fetch("api/status", { headers, cache: "no-store" });
      state.status = answer.ok ? await answer.json() : null;
    } catch {
      state.status = null;
    }
    changed();
    await wait(STATUS_MS);
  }
}

function onTrace(event) {
  if (event.kind === "hello" && !state.hello) return start(event).catch((error) => close("failed", error.message));
  if (event.kind === "beat" || event.kind === "hello") return;
  if (event.conversation_id && event.conversation_id !== state.conversation) return;
  for (const hop of picture.onTrace(event)) drawing.move(hop);
  changed();
}

function close(why, reason) {
  state.closed = [why, { why: reason }];
  panel.draw();
}

// The key comes in the address and is removed from it.
function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  let remembered = null;
  try {
    remembered = JSON.parse(sessionStorage.getItem(`${kept}.stage`));
  } catch {
    // Not the stage's: as if there were none.
  }
  if (given) history.replaceState(null, "", location.pathname);
  return { nodes: [], ...remembered, ...(given && { key: given }) };
}

async function main() {
  const { key, nodes } = takeKey();
  await speak(wantedLanguage());
  state.key = key;
  if (!key) return close("noKey");
  const urls = () => [...new Set([base, ...(state.hello?.nodes ?? nodes)])];
  const connected = (live) => ((state.live = live), changed());
  const refused = (status) => close(status === 404 ? "notHere" : "wrongKey");
  onReports((name, report) => {
    if (report.conversation_id && report.conversation_id !== state.conversation) return;
    if (report.by_hand && playback.running) state.disturbed = true;
    if (report.type === "message" && !picture.isOf(report.request_id, name) && state.live && drawing.expects(report.seq)) {
      curtain.cover(name, report.seq);
    }
    figures.onReport(name, report);
    picture.onReport(name, report);
    changed();
  });
  $("play").onclick = doing(() => (playback.playing ? playback.pause() : playback.play()));
  $("next").onclick = doing(() => playback.next());
  $("language").onclick = async () => {
    await speak(language() === "zh" ? "en" : "zh");
    for (const name of DEVICES) {
      const [root] = query(name, ":root");
      if (root?.lang && root.lang.slice(0, 2) !== language()) query(name, ".language")[0]?.click();
    }
    changed();
  };
  panel.build((part) => doing(() => playback.choose(part)));
  changed();
  followTrace({ key, nodes: urls, onTrace, connected, refused });
}

main();
