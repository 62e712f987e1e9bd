// The demonstration's seven parts: each acts on real devices and nodes, waits for real events, and counts.

import { DEVICES } from "./device_frames.js";
import { t } from "./i18n.js";

const MESSAGES_EACH = 4;
const BURST_EACH = 25;
const BURST_REST_MS = 50;
const SLOW_MS = 400;
const ENOUGH = 12; // characters of an answer that every device shows before its node is killed
const TRIES = 4; // an answer may be complete before its node is dead
const SILENT_MS = 5000; // of delay: a new connection does not get through while the others write

const clean = (f) => f.sent && f.acked === f.sent && f.received === f.expected && !f.lost && !f.duplicated && !f.disordered;
const ms = (value) => (value === null ? "–" : `${Math.round(value)} ms`);
const seconds = (value) => `${(value / 1000).toFixed(1)} s`;

function counted({ sent, received, lost, duplicated, disordered, p50, p99 }) {
  return [["sent", sent], ["received", received], ["lost", lost], ["duplicated", duplicated], ["disordered", disordered], ["p50", ms(p50)], ["p99", ms(p99)]];
}

// Wait until everything sent since then is on every device, and count; what is missing then is lost.
async function settle({ figures, until }, since, count, limit = 15_000) {
  const f = () => figures.summary(since, true);
  await until(() => f().sent >= count && clean(f()), limit);
  return f();
}

const line = (name, n) => t("line", { device: t(name), n });

async function connect({ open, picture, figures, say, rest, until }) {
  say("now_connect");
  const began = {};
  for (const name of DEVICES) {
    began[name] = Date.now();
    open(name);
    await rest(500);
  }
  const online = (name) => picture.device(name).link === "online" && picture.device(name).since >= began[name];
  const level = () => DEVICES.every((name) => online(name) && figures.seqOf(name) === picture.head && picture.head);
  const held = await until(level, 15_000);
  const nodes = [...new Set(DEVICES.filter(online).map((name) => picture.device(name).node))].sort();
  const alive = [...picture.nodes.values()].filter((node) => node.alive).length;
  const slowest = Math.max(...DEVICES.map((name) => picture.device(name).since - began[name]));
  return {
    held: held && nodes.length === Math.min(DEVICES.length, alive),
    facts: [["online", DEVICES.filter(online).length], ["onNodes", nodes.join(", ")], ["slowest", ms(slowest)], ["atEntry", picture.head]],
  };
}

async function oneOrder(act) {
  const since = Date.now();
  act.say("now_allWrite");
  for (let n = 1; n <= MESSAGES_EACH; n++) for (const name of DEVICES) act.send(name, line(name, n));
  const figures = await settle(act, since, MESSAGES_EACH * DEVICES.length);
  const same = act.figures.inOneOrder(since);
  return { held: clean(figures) && same === DEVICES.length, facts: [["sameOrder", `${same}/3`], ...counted(figures)] };
}

async function recovery(act) {
  const { control, picture, figures, say, rest, until } = act;
  const phone = picture.device("phone");
  const since = Date.now();
  const restore = () => control.delay("phone", 0).then(() => control.drop("phone"));
  say("now_cut");
  act.undoing(restore);
  await control.delay("phone", SILENT_MS);
  await control.drop("phone");
  const gone = await until(() => phone.link !== "online", 5000);
  say("now_othersWrite");
  for (let n = 1; n <= MESSAGES_EACH; n++) {
    for (const name of ["laptop", "terminal"]) act.send(name, line(name, n));
    await rest(150);
  }
  await until(() => figures.summary(since).acked === 2 * MESSAGES_EACH && figures.seqOf("laptop") === picture.head);
  act.send("phone", t("writtenOffline"));
  await rest(900);
  const missed = picture.head - figures.seqOf("phone");
  say("now_back", { missed });
  const back = Date.now();
  await restore();
  const result = await settle(act, since, 2 * MESSAGES_EACH + 1);
  await until(() => phone.link === "online");
  const took = Date.now() - back;
  await rest(1500);
  return {
    held: gone && missed > 0 && clean(result) && figures.seqOf("phone") === picture.head,
    facts: [["missed", missed], ["level", seconds(took)], ...counted(result).slice(0, 5)],
  };
}

async function inStep(act) {
  const { picture, figures, say, rest, until, query } = act;
  const written = t("draftText");
  const shown = (text) => query("phone", "#text").some((field) => field.value === text);
  say("now_draft");
  let drafted = Date.now();
  for (const share of [0.4, 0.7, 1]) {
    drafted = Date.now();
    act.command("laptop", { do: "draft", text: written.slice(0, written.length * share) });
    if (share < 1) await rest(350);
  }
  const followed = await until(() => shown(written));
  const draftMs = Date.now() - drafted;
  const since = Date.now();
  say("now_read");
  act.send("laptop", written);
  const result = await settle(act, since, 1);
  const seen = await until(() => ["laptop", "phone"].every((name) => query(name, ".read, .mine:has(.seen)").some((node) => node.textContent.includes(written))));
  const asked = picture.head;
  say("now_ask");
  act.send("laptop", t("book"));
  const askedOn = await until(() => figures.shows("interrupt", asked) === 3, 20_000);
  await rest(1200);
  say("now_answer");
  act.command("phone", { do: "respond", value: "approve" });
  await until(() => figures.shows("interrupt_resolved", asked) === 3);
  const booked = await until(() => figures.shows("answer", asked) === 3, 20_000);
  const once = figures.most("answer", asked) === 1 && figures.most("interrupt_resolved", asked) === 1;
  return {
    held: followed && clean(result) && seen && askedOn && booked && once,
    facts: [["draftAfter", ms(draftMs)], ["readShown", seen ? "✓" : "–"], ["askedOn", figures.shows("interrupt", asked)], ["answeredOn", t("phone")], ["answers", figures.most("answer", asked)]],
  };
}

async function load(act) {
  const since = Date.now();
  act.say("now_burst");
  for (let n = 1; n <= BURST_EACH; n++) {
    for (const name of DEVICES) act.send(name, line(name, n));
    await act.rest(BURST_REST_MS);
  }
  const result = await settle(act, since, BURST_EACH * DEVICES.length, 25_000);
  return { held: clean(result), facts: counted(result) };
}

// The text of the last answer that a device shows.
const answerOn = ({ query }, name) => query(name, ".agent:not([aria-busy=true]) .said").at(-1)?.textContent;

// How much of an unfinished answer a device shows.
const preview = ({ query }, name) => query(name, "[aria-busy=true] .text").reduce((sum, node) => sum + node.textContent.length, 0);

async function nodeFailure(act) {
  const { control, picture, figures, say, until } = act;
  const since = Date.now();
  let after = picture.head;
  say("now_prepare");
  act.send("laptop", t("longBooking"));
  await until(() => figures.shows("answer", after) + figures.shows("interrupt", after) >= 3, 15_000);
  for (let tries = 0; tries < TRIES; tries++) {
    after = picture.head;
    const before = picture.run?.run_id;
    say("now_summary");
    act.send("laptop", t("summary"));
    const answers = () => figures.shows("answer", after);
    const asking = () => picture.run?.run_id !== before && DEVICES.every((name) => preview(act, name) >= ENOUGH);
    await until(() => asking() || answers() === 3, 15_000);
    const { run_id, node } = picture.run;
    if (answers()) continue;
    const killed = Date.now();
    const restart = () => control.start(node);
    act.undoing(restart);
    await control.kill(node);
    say("now_killed", { node });
    const had = Math.max(...DEVICES.map((name) => preview(act, name)));
    const taken = () => picture.run.run_id === run_id && picture.run.attempt > 1 && picture.run.node !== node;
    await until(() => taken() || answers() === 3, 20_000);
    if (!taken()) {
      await restart();
      continue;
    }
    const takeover = picture.run.at - killed;
    const by = picture.run.node;
    say("now_taken", { node: by });
    const ended = await until(() => answers() === 3, 20_000);
    const result = await settle(act, since, 2);
    say("now_start", { node });
    await restart();
    const again = await until(() => picture.nodes.get(node)?.alive, 15_000);
    const once = figures.most("answer", after) === 1;
    const same = await until(() => answerOn(act, "laptop") && DEVICES.every((name) => answerOn(act, name) === answerOn(act, "laptop")));
    return {
      held: ended && once && again && clean(result) && same,
      facts: [["takeover", seconds(takeover)], ["fromTo", `${node} → ${by}`], ["before", had], ["answers", figures.most("answer", after)], ...counted(result).slice(2, 5)],
    };
  }
  return { held: false, why: "tooLate" };
}

async function slowNetwork(act) {
  const { control, figures, say, rest } = act;
  const since = Date.now();
  say("now_slow", { ms: SLOW_MS });
  act.undoing(() => control.delay("phone", 0));
  await control.delay("phone", SLOW_MS);
  for (let n = 1; n <= MESSAGES_EACH; n++) {
    for (const name of DEVICES) act.send(name, line(name, n));
    await rest(200);
  }
  const result = await settle(act, since, MESSAGES_EACH * DEVICES.length, 30_000);
  const same = figures.inOneOrder(since);
  await control.delay("phone", 0);
  const slow = (...ends) => ends.includes("phone");
  const { p50 } = figures.latency(since, slow);
  return {
    held: clean(result) && same === 3 && p50 >= SLOW_MS,
    facts: [["phoneP50", ms(p50)], ["othersP50", ms(figures.latency(since, (...ends) => !slow(...ends)).p50)], ["sameOrder", `${same}/3`], ...counted(result).slice(0, 5)],
  };
}

// Each part with what it needs: how many nodes at least, and the controller if it disturbs the cluster.
export const PARTS = [
  { play: connect, nodes: 3 },
  { play: oneOrder, nodes: 2 },
  { play: recovery, control: true },
  { play: inStep },
  { play: load },
  { play: nodeFailure, nodes: 2, control: true },
  { play: slowNetwork, control: true },
];
