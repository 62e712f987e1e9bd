// Counts what the frames report: what was sent, what each device showed, and in which order. No clock, no DOM.

const percentile = (sorted, p) => (sorted.length ? sorted[Math.ceil(sorted.length * p) - 1] : null);

export class Figures {
  #sent = new Map(); // request_id -> {from, at, seq, shown: Map(device -> at)}
  #views = new Map(); // device -> {first, last, entries: Map(seq -> {type, request_id})}
  #duplicated = [];
  #disordered = [];

  constructor(devices) {
    for (const device of devices) this.forget(device);
  }

  // A device starts over, with a page that has shown nothing yet.
  forget(device) {
    this.#views.set(device, { first: 0, last: 0, entries: new Map() });
  }

  // The last entry that a device has shown.
  seqOf(device) {
    return this.#views.get(device).last;
  }

  onReport(device, { roomgraph: kind, request_id, seq, type, at }) {
    if (kind === "sent" && !this.#sent.has(request_id)) {
      this.#sent.set(request_id, { from: device, at, seq: 0, shown: new Map() });
    } else if (kind === "acked") {
      const message = this.#sent.get(request_id);
      if (message) message.seq = seq;
    } else if (kind === "entry") {
      this.#show(device, { seq, type, request_id, at });
      const shown = this.#sent.get(request_id)?.shown;
      if (shown && !shown.has(device)) shown.set(device, at);
    }
  }

  // How many devices show an entry of this type above `after`.
  shows(type, after) {
    const fits = ({ entries }) => [...entries].some(([seq, entry]) => seq > after && entry.type === type);
    return [...this.#views.values()].filter(fits).length;
  }

  // How many entries of this type above `after` each device shows, the most on one of them.
  most(type, after) {
    const fits = ([seq, entry]) => seq > after && entry.type === type;
    return Math.max(...[...this.#views.values()].map(({ entries }) => [...entries].filter(fits).length));
  }

  // How many devices show the messages sent since then in the same order as the first device.
  inOneOrder(since) {
    const recent = ([, { request_id }]) => this.#sent.get(request_id)?.at >= since;
    const orders = [...this.#views.values()].map(({ entries }) => [...entries].filter(recent).map(([, e]) => e.request_id));
    return orders.filter((order) => order.join() === orders[0].join()).length;
  }

  #show(device, { seq, type, request_id, at }) {
    const view = this.#views.get(device);
    view.first ||= seq;
    if (view.entries.has(seq)) this.#duplicated.push(at);
    else if (seq < view.last) this.#disordered.push(at);
    view.entries.set(seq, { type, request_id });
    view.last = Math.max(view.last, seq);
  }

  // What was sent since then. `strict`: everything acked should be on every device by now; otherwise a message only
  // counts as lost on a device that shows later ones.
  summary(since = 0, strict = false) {
    const messages = [...this.#sent.values()].filter((message) => message.at >= since);
    const acked = messages.filter(({ seq }) => seq);
    const count = (list, fits) => list.reduce((sum, one) => sum + [...this.#views].filter(fits(one)).length, 0);
    const other = ({ from, shown }) => ([device]) => device !== from && shown.has(device);
    const gone = ({ seq, shown }) => ([device, { first, last }]) =>
      !shown.has(device) && (strict || (first && first <= seq && seq < last));
    return {
      sent: messages.length,
      acked: acked.length,
      expected: messages.length * (this.#views.size - 1),
      received: count(messages, other),
      lost: count(acked, gone),
      duplicated: this.#duplicated.filter((at) => at >= since).length,
      disordered: this.#disordered.filter((at) => at >= since).length,
      ...this.latency(since),
    };
  }

  // From sending on one device to showing on the others, in ms; only between those that fit.
  latency(since = 0, fits = () => true) {
    const times = [];
    for (const { from, at, shown } of this.#sent.values()) {
      if (at < since) continue;
      for (const [to, then] of shown) if (to !== from && fits(from, to)) times.push(then - at);
    }
    const sorted = times.sort((a, b) => a - b);
    return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
  }
}
