// Commands to the local cluster's controller: kill and start nodes, disconnect and delay devices.

export class ClusterControl {
  nodes = []; // {port, url, running}
  devices = new Map(); // name -> {url, node, delay_ms, jitter_ms}

  // `onNodes` is called with the nodes after each refresh.
  constructor(url, key, onNodes) {
    Object.assign(this, { url, key, onNodes });
  }

  async refresh() {
    const { nodes, devices } = await this.#ask("GET", "/state");
    this.nodes = nodes;
    this.onNodes(nodes);
    this.devices = new Map(devices.map((device) => [device.name, device]));
  }

  kill = (port) => this.#do(`/nodes/${port}/kill`);
  start = (port) => this.#do(`/nodes/${port}/start`);
  drop = (device) => this.#do(`/devices/${device}/drop`);
  delay = (device, ms) => this.#do(`/devices/${device}/delay`, { ms, jitter_ms: Math.round(ms / 2) });

  async #do(path, body = {}) {
    const answer = await this.#ask("POST", path, body);
    await this.refresh();
    return answer;
  }

  async #ask(method, path, body) {
    const headers = { Authorization: `Bearer ${this.key}`, ...(body && { "Content-Type": "application/json" }) };
    const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }
}
