// What the drawing shows. Only trace events and reports change it: without them nothing moves.

const KEPT = 40; // of the log's end
const STEPS = 7; // of a run

export class DrawingState {
  nodes = new Map(); // name -> {alive, run}
  devices = new Map(); // device_id -> {name, node, link, seq}
  log = []; // the newest entries {seq, by}
  run = null; // the latest run {run_id, attempt, node, from, steps: [{step, checkpoint, node}], status}
  head = 0;
  #authors = new Map(); // request_id -> the name of the device that sent it
  #by = new Map(); // seq -> who wrote it: a device's name, "agent" or ""

  constructor(devices) {
    for (const [id, name] of Object.entries(devices)) this.devices.set(id, { name, node: "", link: "connecting", seq: 0 });
  }

  get alive() {
    return [...this.nodes.values()].filter((node) => node.alive).length;
  }

  nameOf = (deviceId) => this.devices.get(deviceId)?.name ?? "";
  device = (name) => [...this.devices.values()].find((one) => one.name === name);
  byOf = (seq) => this.#by.get(seq) ?? "";
  knows = (seq) => this.#by.has(seq);
  isOf = (requestId, name) => this.#authors.get(requestId) === name;

  // One trace event; returns the hops {from, to, leg, by, seq} that are drawn for it. `leg` counts from the device.
  onTrace(event) {
    const { kind, node, device_id, seq, type } = event;
    const here = `node ${node}`;
    if (node && kind !== "hello" && kind !== "beat") this.#alive(node, kind !== "node_draining", kind === "node_up");
    if (kind === "node_gone") this.#alive(event.gone, false, true);
    const by = this.nameOf(device_id);
    if (kind === "received" && by) return [{ from: by, to: here, leg: 0, by }];
    if (kind === "appended") {
      this.#append(seq, by);
      return [{ from: here, to: "log", leg: 1, seq }];
    }
    if (kind === "heard") {
      this.#append(seq, AGENTS.has(type) ? "agent" : "");
      return [{ from: "log", to: here, leg: 2, seq }];
    }
    if (kind === "delivered") {
      const names = event.device_ids.map(this.nameOf).filter(Boolean);
      return names.map((to) => ({ from: here, to, leg: 3, seq }));
    }
    return this.#running(event, here);
  }

  // A frame's report.
  onReport(name, { roomgraph: kind, request_id, link, node, seq, type, at }) {
    const device = this.device(name);
    if (kind === "link") Object.assign(device, { link, node: node || device.node, since: at });
    if (kind === "link" && link === "online") this.#alive(device.node, true);
    if (kind === "sent") this.#authors.set(request_id, name);
    if (kind !== "entry") return;
    device.seq = Math.max(device.seq, seq);
    this.#append(seq, AGENTS.has(type) ? "agent" : (this.#authors.get(request_id) ?? "")); // the trace may have lost it
  }

  // What the controller says of a node.
  known(name, alive) {
    this.#alive(name, alive, true);
  }

  #alive(name, alive, sure = false) {
    const node = this.nodes.get(name);
    // The last events of a killed node may come after its end.
    if (!node) this.nodes.set(name, { alive });
    else if (sure || !alive) node.alive = alive;
  }

  #append(seq, by) {
    if (by || !this.#by.has(seq)) this.#by.set(seq, by);
    const known = this.log.find((cell) => cell.seq === seq);
    if (known) known.by = this.byOf(seq);
    else this.log = [...this.log, { seq, by }].sort((a, b) => a.seq - b.seq).slice(-KEPT);
    this.head = Math.max(this.head, seq);
    this.#by.delete(seq - 500);
  }

  #running({ at, kind, node, run_id, attempt, step, checkpoint, status }, here) {
    if (!run_id) return [];
    const begins = kind === "run_started" || kind === "run_taken_over";
    if (begins && (this.run?.run_id !== run_id || attempt > this.run.attempt)) {
      const before = this.run?.run_id === run_id ? this.run : null;
      this.run = { run_id, attempt, node, from: before?.node ?? null, steps: before?.steps ?? [], status: "running", at };
    }
    const run = this.run;
    if (run?.run_id !== run_id || attempt < run.attempt) return [];
    if (kind === "run_taken_over") return [{ from: "saved", to: here, leg: 0, by: "agent" }];
    if (kind === "run_step") {
      run.steps = [...run.steps, { step, checkpoint, node }].slice(-STEPS);
      return [{ from: here, to: "saved", leg: 0, by: "agent" }];
    }
    if (kind === "asked") run.status = "asked";
    if (kind === "run_ended") run.status = run.status === "asked" ? "asked" : status;
    return [];
  }
}

const AGENTS = new Set(["answer", "interrupt", "stopped", "failed"]);
