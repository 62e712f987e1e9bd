// Where to connect next, and after which pause; no I/O, no clock.

const HASTE_MS = 250; // while there are nodes that have not been tried
const LONGEST_MS = 8000;
const SETTLED_MS = 3000; // a session that lived so long was not a failed attempt

export class Route {
  #tries = 0;

  // `random` spreads pages that lose a node at the same moment.
  constructor(nodes, random = Math.random) {
    this.nodes = nodes;
    this.random = random;
    this.url = nodes[0];
  }

  learn(nodes) {
    if (nodes?.length) this.nodes = nodes.includes(this.url) ? nodes : [this.url, ...nodes];
  }

  get allTried() {
    return this.#tries >= this.nodes.length;
  }

  // The ms to wait before connecting to `url`, after a session of `lived` ms or a failed attempt: the same node once
  // more, unless it is known to be `gone`, then each of the others, then with growing pauses.
  next(lived, gone) {
    if (lived >= SETTLED_MS) this.#tries = 0;
    const { nodes } = this;
    if (gone || this.#tries) this.url = nodes[(nodes.indexOf(this.url) + 1) % nodes.length];
    const round = Math.floor(this.#tries++ / nodes.length);
    return round ? Math.min(LONGEST_MS, HASTE_MS << round) * (0.5 + this.random() / 2) : HASTE_MS * this.random();
  }
}
