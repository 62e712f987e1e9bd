// Everything around the drawing: captions and results, figures, the devices' headings, and the buttons that disturb.

import { DEVICES } from "./device_frames.js";
import { language, t } from "./i18n.js";

const $ = (id) => document.getElementById(id);
const DELAYS = [0, 100, 200, 400, 800, 1500];

function h(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// Set a node's text, if it differs.
const say = (node, text) => node.textContent === String(text) || (node.textContent = text);

const ms = (value) => (value === null || value === undefined ? "–" : `${Math.round(value)} ms`);

export class Panel {
  #signs = new Map(); // id of a list -> what it was built for
  #busy = new Set(); // ports of nodes that are being started

  // `act(what)`: something that a person does to the cluster; `repair()` starts dead nodes again.
  constructor(state, { picture, figures, playback, act, repair }) {
    Object.assign(this, { state, picture, figures, playback, act });
    $("repair").onclick = repair;
  }

  build(choose) {
    this.playback.results.forEach((_, part) => {
      const button = h("button", { onclick: choose(part) }, h("b", {}, part + 1), h("span"));
      $("parts").append(h("li", {}, button));
    });
  }

  draw() {
    const { closed } = this.state;
    $("closed").hidden = !closed;
    document.body.classList.toggle("is-closed", Boolean(closed));
    if (closed) return say($("why"), t(...closed));
    this.#captions();
    this.#heads();
    this.#figures();
    this.#controls();
  }

  #captions() {
    const { part, playing, running, results, last } = this.playback;
    const result = results[part];
    [...$("parts").children].forEach((item, at) => {
      const button = item.firstChild;
      say(button.lastChild, t(`part${at}`));
      button.setAttribute("aria-current", at === part ? "step" : "false");
      item.className = results[at] ? marks(results[at]) : at === part && running ? "running" : "";
    });
    say($("number"), part + 1);
    say($("title"), t(`title${part}`));
    say($("text"), t(`text${part}`));
    $("play").classList.toggle("playing", playing);
    say($("play").lastElementChild, t(playing ? "pause" : running ? "resume" : result && last ? "again" : "play"));
    $("play").disabled = $("next").disabled = !this.state.users;
    $("next").disabled ||= last;
    $("outcome").className = result ? marks(result) : running ? "running" : "";
    $("outcome").dataset.turn = this.playback.turn;
    say($("doing"), this.#outcome(result, running && !playing));
    $("repair").hidden = !result?.repair;
    $("repair").disabled = this.state.repairing;
    this.#list("facts", result?.facts ?? [], ([key, value]) => {
      const zero = ["lost", "duplicated", "disordered"].includes(key) ? (value === 0 ? "zero" : "bad") : "";
      return h("div", { className: zero }, h("dt", {}, t(key)), h("dd", {}, value));
    });
  }

  #outcome(result, paused) {
    const { doing } = this.state;
    if (result?.needs) return t(result.why, { needs: count(result.needs), up: count(result.up) });
    if (result?.why) return `${t(marks(result))}. ${t(result.why, result)}`;
    if (result) return t(marks(result));
    if (paused) return t("paused");
    return doing ? t(...doing) : t("ready");
  }

  // A list is built again only when its items or the language have changed.
  #list(id, items, make) {
    const sign = JSON.stringify([language(), items]);
    if (this.#signs.get(id) === sign) return;
    this.#signs.set(id, sign);
    $(id).replaceChildren(...items.map(make));
  }

  #heads() {
    for (const name of DEVICES) {
      const { link, node, seq } = this.picture.device(name);
      const behind = Math.max(0, this.picture.head - seq);
      const online = link === "online" || link === "catching";
      const figure = $(name);
      figure.dataset.link = online ? "online" : link === "connecting" ? "connecting" : "off";
      say(figure.querySelector(".user"), t(name === "terminal" ? "bob" : "ann"));
      const where = online ? t("node", { name: node }) : t(link === "connecting" ? "connecting" : "offline");
      say(figure.querySelector(".where"), behind && !online ? `${where} · ${t("behind", { n: behind })}` : where);
    }
  }

  #figures() {
    const { state, figures } = this;
    const f = { ...figures.summary(), ...figures.latency(state.since) };
    const { active_sessions: sessions, bus_subscriptions: subscriptions } = state.status ?? {};
    const rows = [["sent", f.sent], ["received", f.received], ["lost", f.lost], ["duplicated", f.duplicated], ["disordered", f.disordered], ["p50", ms(f.p50)], ["p99", ms(f.p99)], ["sessions", sessions ?? "–"], ["subscriptions", subscriptions ?? "–"]];
    this.#list("figures", rows.map(([key]) => key), (key) => h("div", { id: `figure-${key}` }, h("dt", {}, t(key)), h("dd")));
    for (const [key, value] of rows) {
      const row = $(`figure-${key}`);
      say(row.lastChild, value);
      if (["lost", "duplicated", "disordered"].includes(key)) row.className = value ? "bad" : "zero";
    }
    say($("trace"), t("traceFrom", { state: t(state.live ? "live" : "searching") }));
    $("trace").classList.toggle("live", state.live);
  }

  #controls() {
    const { control, hello } = this.state;
    $("control").hidden = !control;
    $("no-control").hidden = !hello || Boolean(control);
    if (!control) return;
    const running = control.nodes.filter((node) => node.running);
    const nodes = control.nodes.map((node) => [node.port, node.running, node.running && running.length === 1, this.#busy.has(node.port)]);
    this.#list("node-controls", nodes, ([port, alive, last, busy]) => {
      const action = () => this.#toggle(port, alive);
      const button = h("button", { disabled: last || busy, title: last ? t("lastNode") : "", onclick: action }, t(busy ? "starting" : alive ? "kill" : "start"));
      button.dataset.node = port;
      return h("li", { className: alive ? "alive" : "dead" }, h("span", {}, t("node", { name: port })), button);
    });
    const devices = [...control.devices.values()].map(({ name, delay_ms }) => [name, delay_ms]);
    this.#list("device-controls", devices, ([name, delay]) => {
      const drop = h("button", { onclick: () => this.act((it) => it.drop(name)) }, t("drop"));
      const steps = [...new Set([...DELAYS, delay])].map((step) => h("option", { value: step, selected: step === delay }, `${step} ms`));
      const select = h("select", { ariaLabel: t("delayOf", { device: t(name) }) }, ...steps);
      select.onchange = () => this.act((it) => it.delay(name, Number(select.value)));
      return h("li", { className: name }, h("span", {}, t(name)), select, drop);
    });
  }

  async #toggle(port, alive) {
    this.#busy.add(port);
    this.draw();
    await this.act((it) => (alive ? it.kill(port) : it.start(port)));
    this.#busy.delete(port);
    this.draw();
  }
}

const count = (n) => (n > 8 ? n : t(`count${n}`));
const marks = ({ held }) => (held === null ? "left" : held === "disturbed" ? held : held ? "held" : "broke");
