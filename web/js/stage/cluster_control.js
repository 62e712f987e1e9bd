// Commands to the local cluster's controller: kill and start nodes, disconnect and delay devices.

export class ClusterControl {
  nodes = []; // {port, url, running}
  devices = new Map(); // name -> {url, node, delay_ms, jitter_ms}

  // `onNodes` is called with the nodes after each refresh.
  constructor(url, key, onNodes) {
    Object.assign(this, { url, key, onNodes });
  }

  get running() {
    return this.nodes.filter((node) => node.running).map((node) => node.port);
  }

  // Faults end by themselves unless they are renewed; so they do not outlive the page.
  async renew() {
    this.#take(await this.#ask("/faults/renew"));
  }

  kill = (port) => this.#do(`/nodes/${port}/kill`);
  start = (port) => this.#do(`/nodes/${port}/start`);
  drop = (device) => this.#do(`/devices/${device}/drop`);
  delay = (device, ms) => this.#do(`/devices/${device}/delay`, { ms, jitter_ms: Math.round(ms / 2) });
  clearDelays = () => this.#do("/delays/clear");
  clearFaults = () => this.#do("/faults/clear");

  // The page is closed: nobody reads the answer.
  leave() {
    this.#ask("/faults/clear", {}, { keepalive: true }).catch(() => {});
  }

  async #do(path, body) {
    const answer = await this.#ask(path, body);
    await this.renew(); // an answer may be overtaken by a later one
    return answer;
  }

  #take({ nodes, devices }) {
    this.nodes = nodes;
    this.onNodes(nodes);
    this.devices = new Map(devices.map((device) => [device.name, device]));
  }

  async #ask(path, body = {}, options = {}) {
    const headers = { Authorization: `Bearer ${this.key}`, "Content-Type": "application/json" };
    const answer = await fetch(this.url + path, { method: "POST", headers, body: JSON.stringify(body), ...options });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }
}
