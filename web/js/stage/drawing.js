// The architecture as SVG: devices above, nodes, Redis below; dots travel along its edges when they are told to.

import { t } from "./words.js";

const WIDTH = 1200;
const NODE = { y: 52, width: 286, height: 96 };
const RAIL_Y = 196;
const CELL = { x: 118, y: 236, width: 46, height: 46, step: 51 };
const SAVED = { x: 838, y: 244, step: 38 };
const PORTS = { laptop: 240, phone: 654, terminal: 1014 }; // where the frames above have their middle
const HOP_MS = 480; // real hops take a few ms: they are drawn this slow, each leg after the one before
const TOGETHER_MS = 90; // dots that would be nearer than this on an edge are one dot with a number
const MOST = 60; // dots at once
const still = matchMedia("(prefers-reduced-motion: reduce)");

// s("circle.big", {r: 3}, "text", node): an SVG element.
function s(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export class Drawing {
  #edges = new Map(); // "from>to" -> path
  #flights = []; // {path, back, start, dot, count}
  #nodes = new Map(); // name -> its group's parts
  #cells = new Map(); // seq -> group
  #ticking = false;

  constructor(svg, picture) {
    Object.assign(this, { svg, picture });
    this.parts = Object.fromEntries(["edges", "still", "dots"].map((name) => [name, svg.appendChild(s(`g.${name}`))]));
    this.parts.still.append(...redis());
    this.log = this.parts.still.appendChild(s("g.tape"));
    this.saved = this.parts.still.appendChild(s("g"));
  }

  // Draw what the picture holds now.
  draw() {
    const { nodes, devices, log, run } = this.picture;
    const names = [...nodes.keys()].sort();
    if (names.join() !== [...this.#nodes.keys()].join()) this.#layOut(names);
    for (const name of names) this.#drawNode(name, nodes.get(name), run);
    for (const device of devices.values()) this.#connect(device);
    this.#drawLog(log);
    this.#drawSaved(run);
  }

  // Let a dot travel; `hop` comes from the picture.
  move({ from, to, leg, by, seq }) {
    const [path, back] = this.#edge(from, to);
    if (!path || document.hidden) return;
    const start = performance.now() + leg * HOP_MS;
    const colour = () => by || this.picture.byOf(seq) || "system";
    const near = this.#flights.findLast((one) => one.path === path && one.back === back);
    if (near && (start - near.start < TOGETHER_MS || this.#flights.length >= MOST)) {
      near.count += 1;
      return;
    }
    if (this.#flights.length >= MOST) return;
    this.#flights.push({ path, back, start, colour, to, count: 1, dot: null });
    this.svg.dataset.moving = this.#flights.length;
    if (!this.#ticking) requestAnimationFrame((now) => this.#tick(now));
    this.#ticking = true;
  }

  #tick(now) {
    for (const flight of this.#flights) {
      const done = Math.min(1, (now - flight.start) / HOP_MS);
      if (done < 0) continue;
      flight.dot ??= this.parts.dots.appendChild(s(`g.dot.${flight.colour()}`, {}, s("circle", { r: 6.5 }), s("text")));
      const { path, back, dot, count } = flight;
      const eased = still.matches ? 1 : done * done * (3 - 2 * done);
      const { x, y } = path.getPointAtLength(path.getTotalLength() * (back ? 1 - eased : eased));
      dot.setAttribute("transform", `translate(${x} ${y}) scale(${count > 1 ? 1.5 : 1})`);
      if (count > 1) dot.lastChild.textContent = count;
      path.classList.add("used");
      if (done === 1) flight.over = true;
    }
    for (const { path, dot, to } of this.#flights.filter(({ over }) => over)) {
      dot.remove();
      path.classList.remove("used");
      this.#arrive(to);
    }
    this.#flights = this.#flights.filter(({ over }) => !over);
    this.svg.dataset.moving = this.#flights.length;
    this.#ticking = this.#flights.length > 0;
    if (this.#ticking) requestAnimationFrame((then) => this.#tick(then));
  }

  #arrive(to) {
    const node = this.#nodes.get(to.replace("node ", ""));
    if (node) node.card.animate([{ fillOpacity: 1 }, {}], 300);
    else document.getElementById(to)?.animate([{ outlineColor: "var(--accent)" }, {}], 500);
  }

  #xOf(name) {
    const at = [...this.#nodes.keys()].indexOf(name);
    return ((at + 0.5) * WIDTH) / this.#nodes.size;
  }

  // The path between two places, and whether it is to be gone backwards; what leaves the log goes over the bus.
  #edge(from, to) {
    for (const [a, b, back] of [[from, to, false], [to, from, true]]) {
      const known = this.#edges.get(`${a}>${b}`);
      if (known && (!back || to !== "log")) return [known, back];
    }
    const [place, node] = from.startsWith("node ") ? [to, from] : [from, to];
    const x = this.#xOf(node.replace("node ", ""));
    if (x < 0) return [null, false];
    const bottom = NODE.y + NODE.height;
    const head = CELL.x + 12.5 * CELL.step;
    let d;
    if (place in PORTS) d = link(PORTS[place], x);
    else if (place === "saved") d = `M${x + 60} ${bottom}C${x + 60} 208 ${SAVED.x + 60} 176 ${SAVED.x + 60} ${SAVED.y - 12}`;
    else if (from === "log") d = `M${head + 12} ${CELL.y}V${RAIL_Y}H${x}V${bottom}`;
    else d = `M${x - 60} ${bottom}C${x - 60} 214 ${head - 12} 180 ${head - 12} ${CELL.y}`;
    const path = this.parts.edges.appendChild(s(`path.${place in PORTS ? "passing" : place}`, { d }));
    this.#edges.set(`${from}>${to}`, path);
    return [path, false];
  }

  #layOut(names) {
    for (const { group } of this.#nodes.values()) group.remove();
    for (const edge of this.#edges.values()) edge.remove();
    this.#edges.clear();
    this.#nodes = new Map(names.map((name) => [name, null]));
    const width = Math.min(NODE.width, WIDTH / names.length - 16);
    for (const name of names) {
      const x = this.#xOf(name) - width / 2;
      const card = s("rect.box", { width, height: NODE.height, rx: 14 });
      const state = s("text.quiet", { x: width - 16, y: 27, "text-anchor": "end" });
      const steps = s("g");
      const doing = s("text.quiet", { x: 16, y: 83 });
      const group = s("g.node", { transform: `translate(${x} ${NODE.y})`, "data-node": name }, card);
      const agent = s("g.graph", { transform: "translate(16 48)" }, s("path", { d: "M7 5h5M18 4l4-3M18 6l4 3" }));
      for (const [cx, cy] of [[4, 5], [15, 5], [25, 0], [25, 10]]) agent.append(s("circle", { cx, cy, r: 3 }));
      group.append(s("circle.lamp", { cx: 21, cy: 22, r: 5 }), s("text.name", { x: 36, y: 27 }, name), state, s("path.rule", { d: `M1 38H${width - 1}` }), agent, steps, doing);
      this.parts.still.append(group);
      this.#nodes.set(name, { group, card, state, steps, doing, x, width });
      for (const place of ["log", "saved"]) this.#edge(`node ${name}`, place);
      this.#edge("log", `node ${name}`);
    }
  }

  #drawNode(name, { alive }, run) {
    const { group, state, steps, doing } = this.#nodes.get(name);
    const here = run?.node === name;
    const was = !here && run?.from === name;
    group.classList.toggle("dead", !alive);
    group.classList.toggle("runs", here && run.status === "running");
    state.textContent = alive ? "" : t("dead");
    const own = here || was ? run.steps.filter((one) => one.node === name) : [];
    steps.replaceChildren(...own.map((one, at) => s("circle.step", { cx: 66 + at * 22, cy: 53, r: 6 })));
    const last = own.at(-1);
    const attempt = t("attempt", { n: was ? run.attempt - 1 : run?.attempt });
    doing.textContent = here ? [attempt, last?.step, t(`run_${run.status}`)].filter(Boolean).join(" · ") : was ? `${attempt} · ${t("run_lost")}` : "LangGraph";
  }

  // The line between a device and the node that it says it is connected to.
  #connect({ name, node, link: state }) {
    const to = `node ${node}`;
    let line = this.#edges.get(`line ${name}`);
    if (!line) {
      line = this.parts.edges.appendChild(s(`path.link.${name}`));
      this.#edges.set(`line ${name}`, line);
    }
    const off = state !== "online" && state !== "catching";
    line.classList.toggle("off", off);
    const x = PORTS[name];
    line.setAttribute("d", off || !this.#nodes.has(node) ? `M${x} 0V22m-7 3 14 8m0-8-14 8` : link(x, this.#xOf(to.slice(5))));
  }

  #drawLog(log) {
    for (const [seq, cell] of this.#cells) {
      if (log.some((entry) => entry.seq === seq)) continue;
      cell.remove();
      this.#cells.delete(seq);
    }
    log.forEach(({ seq, by }, at) => {
      let cell = this.#cells.get(seq);
      if (!cell) {
        const { width, height } = CELL;
        cell = s("g.cell", {}, s("rect", { width, height, rx: 8 }), s("rect.who", { x: 8, y: 8, width: width - 16, height: 5, rx: 2.5 }), s("text", { x: width / 2, y: 33, "text-anchor": "middle" }, seq));
        this.log.append(cell);
        this.#cells.set(seq, cell);
      }
      cell.setAttribute("class", `cell ${by || "system"}`);
      cell.setAttribute("transform", `translate(${CELL.x + (at + 13 - log.length) * CELL.step} ${CELL.y})`);
    });
  }

  #drawSaved(run) {
    const steps = run?.steps ?? [];
    this.saved.replaceChildren(...steps.map(({ node, checkpoint }, at) => {
      const fresh = node === run.node ? "" : ".old";
      return s(`g.saving${fresh}`, { transform: `translate(${SAVED.x + at * SAVED.step} ${SAVED.y})` }, s("rect", { width: 31, height: 31, rx: 9 }), s("text", { x: 15.5, y: 21, "text-anchor": "middle" }, checkpoint ?? at + 1));
    }));
  }
}

const link = (from, to) => `M${from} 0C${from} 34 ${to} 16 ${to} ${NODE.y}`;

// What never changes: the box of Redis with its three parts.
function redis() {
  const label = (x, y, key) => s("text.label", { x, y, "data-t": key }, t(key));
  return [
    s("rect.redis", { x: 16, y: 172, width: 1168, height: 138, rx: 18 }),
    s("path.rail", { d: `M118 ${RAIL_Y}H1166` }),
    label(36, RAIL_Y + 5, "bus"),
    label(36, CELL.y + 29, "log"),
    label(SAVED.x, SAVED.y + 52, "checkpoints"),
    s("path.rule", { d: `M806 ${CELL.y - 8}V298` }),
  ];
}
