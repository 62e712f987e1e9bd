// Where to connect next, and after which pause; no I/O, no clock.

const HASTE_MS = 250; // the pause while there are nodes that have not been tried
const FIRST_MS = 500;
const LONGEST_MS = 8000;
const SETTLED_MS = 3000; // a session that lived so long was no failed try

export class Route {
  #tries = 0;

  // `nodes`: URLs, the one to begin with first. `random` gives numbers from 0 to 1, so that not all pages come at once.
  constructor(nodes, random = Math.random) {
    Object.assign(this, { nodes, random, url: nodes[0] });
  }

  // The server has named its nodes; this page stays where it is.
  learn(nodes) {
    if (nodes?.length) this.nodes = nodes.includes(this.url) ? nodes : [this.url, ...nodes];
  }

  // A session that lived for `lived` ms has ended, or a try has failed (0). Says how many ms to wait before trying
  // `url`: the same node once more, unless it is known to be `gone`, then each of the others, then in longer rounds.
  next(lived, gone) {
    if (lived >= SETTLED_MS) this.#tries = 0;
    const { nodes } = this;
    if (gone || this.#tries) this.url = nodes[(nodes.indexOf(this.url) + 1) % nodes.length];
    const round = Math.floor(this.#tries++ / nodes.length);
    if (!round) return HASTE_MS * this.random();
    return Math.min(LONGEST_MS, FIRST_MS * 2 ** (round - 1)) * (0.5 + this.random() / 2);
  }
}
