// The architecture as SVG: devices above, nodes, Redis below; dots travel along its edges when messages do.

import { t } from "./i18n.js";

const WIDTH = 1200;
const TOP = 52; // of the nodes
const BOTTOM = 148;
const RAIL = 196; // the bus
const CELLS = { x: 118, y: 236, step: 51, most: 13 };
const SAVED = { x: 838, y: 244, step: 38 };
const PORTS = { laptop: 240, phone: 654, terminal: 1014 }; // where the frames above have their middle
const HOP_MS = 180; // real hops take a few ms: they are drawn this slow, each leg after the one before
const WAIT_MS = 6000; // a dot waits so long before a device that has not received its message yet
const TOGETHER_MS = 90; // dots that would be nearer than this on an edge are one dot with a number
const MOST = 60; // dots at once
const POINTS = 32; // of an edge, looked up once
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

const link = (from, to) => `M${from} 0C${from} 34 ${to} 16 ${to} ${TOP}`;

export class Drawing {
  #edges = new Map(); // "from>to" -> {path, points}
  #flights = []; // {edge, start, colour, to, count, dot}
  #nodes = new Map(); // name -> {x, and the parts of its group}
  #cells = new Map(); // seq -> group
  #ticking = false;

  // `arrived(device, seq)` is called when the dot of a message has reached a device.
  constructor(svg, picture, arrived) {
    Object.assign(this, { svg, picture, arrived });
    const add = (what) => svg.appendChild(s(what));
    Object.assign(this, { edges: svg.insertBefore(s("g.edges"), svg.firstChild), links: add("g.links"), nodes: add("g"), log: add("g"), saved: add("g"), hop: add("path.hop"), dots: add("g.dots") });
  }

  // Draw what the picture holds now.
  draw() {
    const { nodes, devices, log, run } = this.picture;
    const names = [...nodes.keys()].sort();
    if (names.join() !== [...this.#nodes.keys()].join()) this.#layOut(names);
    for (const name of names) this.#drawNode(name, nodes.get(name).alive, run);
    this.links.replaceChildren(...[...devices.values()].map((device) => this.#link(device)));
    this.#drawLog(log);
    this.#drawRun(run);
  }

  // Let a dot travel; `hop` comes from the picture.
  move({ from, to, leg, by, seq }) {
    const edge = document.hidden ? null : this.#edge(from, to);
    if (!edge) {
      this.arrived(to, seq);
      return;
    }
    const start = performance.now() + leg * HOP_MS;
    const near = this.#flights.findLast((one) => one.edge === edge);
    if (near && (start - near.start < TOGETHER_MS || this.#flights.length >= MOST)) {
      near.count += 1;
      near.seqs.push(seq);
    } else if (this.#flights.length < MOST) {
      this.#flights.push({ edge, start, to, seqs: [seq], count: 1, by: () => by || this.picture.byOf(seq) || "system" });
    } else this.arrived(to, seq);
    if (!this.#ticking) requestAnimationFrame((now) => this.#tick(now));
    this.#ticking = true;
  }

  // Whether dots move, and the message of this seq is not known to be drawn already.
  expects(seq) {
    return !document.hidden && !still.matches && (!this.picture.knows(seq) || this.#flights.some((flight) => flight.seqs.includes(seq)));
  }

  // A dot on a slow line is where its message is: not at its device yet.
  #progress({ start, to, seqs }, now) {
    const done = Math.min(1, (now - start) / HOP_MS);
    const device = to in PORTS && this.picture.device(to);
    const waits = device && device.seq < seqs[0] && device.link === "online" && now - start < WAIT_MS;
    return waits ? done * 0.85 : done;
  }

  #tick(now) {
    let landed = false;
    for (const flight of this.#flights) {
      const done = this.#progress(flight, now);
      if (done < 0) continue;
      flight.dot ??= this.dots.appendChild(s(`g.dot.${flight.by()}`, { "data-to": flight.to }, s("circle", { r: 6.5 }), s("text")));
      const { edge, dot, count } = flight;
      const at = (still.matches ? 1 : done * done * (3 - 2 * done)) * POINTS;
      const [a, b] = [edge.points[Math.floor(at)], edge.points[Math.ceil(at)]];
      const between = (from, to) => (from + (to - from) * (at % 1)).toFixed(1);
      dot.setAttribute("transform", `translate(${between(a.x, b.x)} ${between(a.y, b.y)}) scale(${count > 1 ? 1.5 : 1})`);
      if (count > 1) dot.lastChild.textContent = count;
      edge.path.classList.add("used");
      if (done < 1) continue;
      flight.over = landed = true;
      dot.remove();
      edge.path.classList.remove("used");
      this.#arrive(flight);
    }
    this.#flights = this.#flights.filter(({ over }) => !over);
    this.svg.dataset.moving = this.#flights.length;
    if (landed) this.#drawLog(this.picture.log);
    this.#ticking = this.#flights.length > 0;
    if (this.#ticking) requestAnimationFrame((then) => this.#tick(then));
  }

  #arrive({ to, seqs }) {
    if (to in PORTS) this.arrived(to, seqs.at(-1));
    const node = this.#nodes.get(to.slice(5));
    if (node) node.box.animate([{ stroke: "var(--accent)" }, {}], 350);
    else document.querySelector(`#${to} .screen`)?.animate([{ outlineColor: "var(--own)" }, {}], 450);
  }

  // The edge between two places; what leaves the log goes over the bus.
  #edge(from, to) {
    const key = `${from}>${to}`;
    if (this.#edges.has(key)) return this.#edges.get(key);
    const place = from.startsWith("node ") ? to : from;
    const x = this.#nodes.get((place === to ? from : to).slice(5))?.x;
    if (!x) return null;
    const back = place in PORTS ? from !== place : place === "saved" && from === place;
    const head = CELLS.x + 12.5 * CELLS.step;
    let d = `M${x - 60} ${BOTTOM}C${x - 60} 214 ${head - 12} 180 ${head - 12} ${CELLS.y}`;
    if (place in PORTS) d = link(PORTS[place], x);
    else if (place === "saved") d = `M${x + 60} ${BOTTOM}C${x + 60} 208 ${SAVED.x + 60} 176 ${SAVED.x + 60} ${SAVED.y - 12}`;
    else if (from === "log") d = `M${head + 12} ${CELLS.y}V${RAIL}H${x}V${BOTTOM}`;
    const path = this.edges.appendChild(s("path", { d, class: place in PORTS ? "via" : "" }));
    const length = path.getTotalLength() / POINTS;
    const points = Array.from({ length: POINTS + 1 }, (_, at) => path.getPointAtLength(length * (back ? POINTS - at : at)));
    this.#edges.set(key, { path, points });
    return this.#edges.get(key);
  }

  #layOut(names) {
    this.nodes.replaceChildren();
    this.edges.replaceChildren();
    this.#edges.clear();
    this.#nodes.clear();
    const width = Math.min(286, WIDTH / names.length - 16);
    names.forEach((name, at) => {
      const x = ((at + 0.5) * WIDTH) / names.length;
      const parts = {
        box: s("rect.shell", { width, height: BOTTOM - TOP, rx: 14 }),
        state: s("text.quiet", { x: width - 16, y: 27, "text-anchor": "end" }),
        steps: s("g"),
        doing: s("text.quiet", { x: 16, y: 83 }),
        agent: s("text.quiet", { x: width - 16, y: 58, "text-anchor": "end" }, "LangGraph"),
      };
      const graph = s("use", { href: "#graph", x: 16, y: 48 });
      const head = [s("circle.lamp", { cx: 21, cy: 22, r: 5 }), s("text.name", { x: 36, y: 27 }, name), s("path.rule", { d: `M1 38H${width - 1}` })];
      const group = s("g.node", { transform: `translate(${x - width / 2} ${TOP})` }, ...Object.values(parts), ...head, graph);
      group.prepend(parts.box);
      this.nodes.append(group);
      this.#nodes.set(name, { x, group, ...parts });
      for (const [from, to] of [[`node ${name}`, "log"], [`node ${name}`, "saved"], ["log", `node ${name}`]]) this.#edge(from, to);
    });
  }

  #drawNode(name, alive, run) {
    const { group, state, steps, doing } = this.#nodes.get(name);
    const here = run?.node === name;
    const lost = !here && run?.from === name;
    group.classList.toggle("dead", !alive);
    group.classList.toggle("runs", here && run.status === "running");
    state.textContent = alive ? "" : t("dead");
    const own = here || lost ? run.steps.filter((one) => one.node === name) : [];
    steps.replaceChildren(...own.map((_, at) => s("circle.step", { cx: 66 + at * 22, cy: 53, r: 6 })));
    const words = here ? [t("attempt", { n: run.attempt }), own.at(-1)?.step, t(`run_${run.status}`)] : lost ? [t("attempt", { n: run.attempt - 1 }), t("run_lost")] : [t("idle")];
    doing.textContent = words.filter(Boolean).join(" · ");
  }

  // The line between a device and the node that it says it is connected to.
  #link({ name, node, link: state }) {
    const x = this.#nodes.get(node)?.x;
    const on = x && (state === "online" || state === "catching");
    return s(`path.${name}${on ? "" : ".off"}`, { d: on ? link(PORTS[name], x) : `M${PORTS[name]} 0V20m-7 4 14 8m0-8-14 8` });
  }

  // An entry is in the drawn log once its dot is there.
  #drawLog(all) {
    const coming = new Set(this.#flights.flatMap(({ to, seqs, over }) => (to === "log" && !over ? seqs : [])));
    const log = all.filter(({ seq }) => !coming.has(seq)).slice(-CELLS.most);
    for (const [seq, cell] of this.#cells) {
      if (log.some((entry) => entry.seq === seq)) continue;
      cell.remove();
      this.#cells.delete(seq);
    }
    log.forEach(({ seq, by }, at) => {
      if (!this.#cells.has(seq)) {
        const parts = [s("rect", { width: 46, height: 46, rx: 8 }), s("rect.who", { x: 8, y: 8, width: 30, height: 5, rx: 2.5 }), s("text", { x: 23, y: 33 }, seq)];
        this.#cells.set(seq, this.log.appendChild(s("g", {}, ...parts)));
      }
      const cell = this.#cells.get(seq);
      cell.setAttribute("class", `cell ${by || "system"}`);
      cell.setAttribute("transform", `translate(${CELLS.x + (at + CELLS.most - log.length) * CELLS.step} ${CELLS.y})`);
    });
  }

  // Its checkpoints; and where it has come from, if it was taken over.
  #drawRun(run) {
    const cells = (run?.steps ?? []).map(({ node, checkpoint }, at) => {
      const parts = [s("rect", { width: 31, height: 31, rx: 9 }), s("text", { x: 15.5, y: 21 }, checkpoint)];
      return s(`g.saving${node === run.node ? "" : ".old"}`, { transform: `translate(${SAVED.x + at * SAVED.step} ${SAVED.y})` }, ...parts);
    });
    this.saved.replaceChildren(...cells);
    const [from, to] = [run?.from, run?.node].map((name) => this.#nodes.get(name)?.x);
    this.hop.setAttribute("d", from && to ? `M${from} ${BOTTOM}C${from} 186 ${to} 186 ${to} ${BOTTOM + 4}m-6 7 6-8 6 8` : "");
  }
}
