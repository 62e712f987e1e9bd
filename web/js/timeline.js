// The open conversation's log on the screen: only what has changed is drawn, at its end unless the person scrolled up.

import { $, arrange, copy, fill, h } from "./dom.js";
import { ask, entryNode, isMine, isSaid, mark, receipt, said } from "./entries.js";
import { day, language, t } from "./i18n.js";
import { nameOf, state } from "./state.js";
import { showSteps } from "./tools.js";

const NEAR = 48; // px from the end that count as being there
const EARLY = 900; // px from the top at which older entries are put there
const CHUNK = 80; // entries drawn at once
const TOGETHER_MS = 5 * 60 * 1000; // messages of one author within this time share one head
const BREATH = 4; // drawing a stream may take a fifth of the time

const isFinal = ({ type }) => /^(answer|interrupt|stopped|failed)$/.test(type);

// What is drawn of one conversation. `low` to `high` are the seqs of the entries that were met, `newest` is the last
// of them; `rows` are {entry, node} of those that stand.
const view = (c = null) => ({
  c,
  lang: language(),
  rows: [],
  low: 1,
  high: 0,
  newest: null,
  gone: new Set(), // edited messages
  anew: new Map(), // message -> seq of the entry that makes earlier endings of its turn void
  asking: [], // rows whose questions may still change
  far: new Map(), // read marks and deliveries
  run: null,
  divider: null,
  divided: 0,
  away: 0, // what was said while the person was not at the end
});

export class Timeline {
  #view = view();
  #atEnd = true;
  #top = 0;
  #frame = 0;
  #notBefore = 0;
  #news = h("p.line.news");
  #receipt = h("p.receipt");
  #tools = fill("tools");
  #edit = fill("edit");

  constructor(outbox, actions, composer) {
    Object.assign(this, { outbox, actions, composer });
    const scroller = $("scroller");
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const keep = new ResizeObserver(() => this.#keepEnd());
    keep.observe(scroller);
    keep.observe($("page"));
    document.addEventListener("visibilitychange", () => this.#after());
    $("to-end").onclick = () => this.toEnd();
    this.#edit.onclick = () => this.edit();
    const [copying, anew] = this.#tools.children;
    copying.onclick = () => copy(this.#last(isFinal).entry.data.text, t("copied"));
    anew.onclick = () => actions.regenerate(this.#view.c, this.#last(isFinal).entry.seq);
  }

  toEnd() {
    this.#atEnd = true;
    this.#keepEnd();
    this.#after();
  }

  // Say the conversation's last message anew, if it is this person's.
  edit() {
    const last = this.#last(({ type }) => type === "message");
    if (last?.node.contains(this.#edit)) this.composer.edit(last.entry);
  }

  // What can be searched, and the node of one of its entries; drawn if it is not there yet.
  get texts() {
    const { c } = this.#view;
    return c ? this.#standing(c.entries).filter(isSaid) : [];
  }

  reveal(seq) {
    this.#more(seq - 5);
    return this.#view.rows.find(({ entry }) => entry.seq === seq)?.node;
  }

  draw() {
    const c = state.open;
    if (!c?.loaded) {
      if (this.#view.c) this.#clear(null);
      return;
    }
    this.#follow(c);
    const view = this.#view;
    view.asking = view.asking.filter(({ entry, node }) => ask(c, node, entry.data, this.actions));
    this.#mark(c);
    this.#drawTail(c);
    this.#divide(c);
    const older = view.low > c.entries[0]?.seq || c.hasOlder;
    $("top").textContent = t(older ? "older" : c.first > 1 ? "lost" : "start");
    const names = c.typists.filter((userId) => userId !== state.me).map(nameOf);
    $("typing").textContent = names.length ? t("typing", { names: names.join(", "), n: names.length }) : "";
    this.#keepEnd();
    this.#after();
  }

  // Draw the entries that are new, or begin again with another conversation, language or log.
  #follow(c) {
    let view = this.#view;
    const { entries } = c;
    const first = entries[0]?.seq ?? 1;
    const high = entries.at(-1)?.seq ?? 0;
    const other = c !== view.c || language() !== view.lang || first > view.low;
    if (other || (view.newest && entries[view.high - first] !== view.newest)) {
      view = this.#clear(c);
      view.low = Math.max(first, high - CHUNK + 1);
      view.high = view.low - 1;
    }
    if (high <= view.high) return;
    const rows = this.#add(c, entries.slice(view.high - first + 1));
    const heard = rows.filter(({ entry }) => isSaid(entry) && entry.data.user_id !== state.me);
    if (view.newest && heard.length) {
      if (!this.#atEnd) view.away += heard.length;
      const { user_id, name = nameOf(user_id), text } = heard.at(-1).entry.data;
      $("heard").textContent = `${name}: ${text.slice(0, 500)}`;
    }
    view.high = high;
    view.newest = entries.at(-1);
  }

  #clear(c) {
    if (c !== this.#view.c) this.#atEnd = true;
    $("log").replaceChildren();
    arrange($("tail"), []);
    return (this.#view = view(c));
  }

  // Entries that still stand: without edited messages and what came of them, and earlier endings of a turn made
  // anew. How a question was resolved is told where it was asked.
  #standing(entries) {
    const { gone, anew } = this.#view;
    const stands = ({ seq, type, data }) =>
      type !== "interrupt_resolved" && !gone.has(seq) && !(seq < anew.get(data.input_seq));
    return entries.filter(stands);
  }

  // Put rows for these entries at the end of the log, or above it.
  #add(c, entries, above) {
    const view = this.#view;
    let voids = false;
    for (const { seq, data } of entries) {
      const turn = data.edits ?? (data.replaces && data.input_seq);
      if (!turn) continue;
      voids = true;
      view.gone.add(data.edits);
      view.anew.set(turn, Math.max(seq, view.anew.get(turn) ?? 0));
    }
    if (voids) {
      const standing = new Set(this.#standing(view.rows.map(({ entry }) => entry)));
      view.rows = view.rows.filter(({ entry, node }) => standing.has(entry) || node.remove());
    }
    const rows = this.#standing(entries).map((entry) => {
      const run = entry.data.run_id && entry.data.run_id === view.run?.run_id ? view.run : null;
      const node = entryNode(c, entry, this.actions, run?.updates);
      if (run?.node?.steps.open && node.steps) node.steps.open = true;
      return { entry, node };
    });
    const at = above ? 0 : view.rows.length;
    view.rows.splice(at, 0, ...rows);
    $("log")[above ? "prepend" : "append"](...rows.map(({ node }) => node));
    for (let index = at; index <= at + rows.length; index++) this.#dress(index);
    view.asking.push(...rows.filter(({ entry }) => entry.data.interrupts));
    return rows;
  }

  // The day, and whether a row shares its head with the one above it.
  #dress(index) {
    const { entry, node } = this.#view.rows[index] ?? {};
    if (!node) return;
    const before = this.#view.rows[index - 1]?.entry;
    node.classList.toggle("joined", joined(before, entry));
    const date = new Date(entry.ts);
    if (before && new Date(before.ts).toDateString() === date.toDateString()) delete node.dataset.day;
    else node.dataset.day = day(date);
  }

  // Show more of what is loaded above; what can be seen stays where it is.
  #more(low = this.#view.low - CHUNK) {
    const { c, low: was, rows } = this.#view;
    const first = c.entries[0].seq;
    low = Math.max(low, first);
    if (low >= was) return;
    const scroller = $("scroller");
    const { top } = scroller.getBoundingClientRect();
    const anchor = rows.find(({ node }) => node.getBoundingClientRect().bottom > top)?.node;
    const stood = anchor?.getBoundingClientRect().top;
    this.#view.low = low;
    this.#add(c, c.entries.slice(low - first, was - first), true);
    if (anchor) scroller.scrollTop += anchor.getBoundingClientRect().top - stood;
  }

  // Read marks and deliveries have moved: the messages in between show it.
  #mark(c) {
    const { far, rows } = this.#view;
    let from = Infinity;
    let to = 0;
    for (const [key, seq] of [...Object.entries(c.reads), ...(c.delivered ?? [])]) {
      const was = far.get(key) ?? 0;
      if (seq <= was) continue;
      far.set(key, seq);
      from = Math.min(from, was);
      to = Math.max(to, seq);
    }
    for (const { entry, node } of to ? rows : []) {
      if (entry.seq > from && entry.seq <= to && isMine(entry)) mark(node, ...receipt(c, entry));
    }
  }

  // The answer that is being written, and what is on its way.
  #drawTail(c) {
    const run = c.answer.current;
    const waiting = this.outbox.of(c.id).filter((item) => item.state !== "sent" || item.seq > c.head);
    const items = waiting.map((item) => ({
      key: item.client_id,
      sign: item.error?.code,
      make: () => said({ ...item, user_id: state.me, again: () => this.outbox.retry(item), drop: () => this.outbox.remove((other) => other === item) }),
    }));
    const writing = { user_id: `agent:${c.graph}`, ts: new Date(), text: "", stream: true };
    if (run) items.unshift({ key: `${run.run_id} ${run.attempt}`, make: () => said(writing) });
    const tail = $("tail");
    arrange(tail, items);
    for (const item of waiting) {
      const far = item.state === "sent" ? "sent" : "pending";
      mark(tail.nodes.get(item.client_id).node, far, t(far));
    }
    const last = this.#last(() => true)?.entry;
    if (!run && waiting.length) tail.firstChild.classList.toggle("joined", joined(last, { ...waiting[0], data: { user_id: state.me, text: "-" } }));
    if (run) this.#view.run = { ...run, node: tail.firstChild };
    this.#stream();
    if (!run && document.activeElement === $("stop")) $("text").focus();
    $("stop").hidden = !run;
    put(this.#tools, run ? null : this.#last(isFinal)?.node);
    const message = this.#last(({ type }) => type === "message");
    put(this.#edit, message && isMine(message.entry) && !waiting.length ? message.node : null);
    const mine = waiting.length ? tail.lastChild : this.#last(isMine)?.node;
    put(this.#receipt, mine);
    this.#receipt.textContent = mine?.querySelector(".mark")?.title ?? "";
  }

  // The text so far, at most once in a frame.
  #stream() {
    const { c, run } = this.#view;
    if (this.#frame || !c?.answer.current) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      const { current } = c.answer;
      if (c !== this.#view.c || !current || !run.node.isConnected) return;
      const began = performance.now();
      if (began < this.#notBefore) {
        this.#stream();
        return;
      }
      const { text, updates = [] } = current;
      const { markdown, steps } = run.node;
      if (text) delete markdown.node.dataset.thinking;
      else markdown.node.dataset.thinking = t("thinking", { name: nameOf(`agent:${c.graph}`) });
      markdown.show(text);
      showSteps(steps, updates, true);
      this.#keepEnd();
      this.#notBefore = began + BREATH * (performance.now() - began);
    });
  }

  // The line above what was missed; the person begins to read there.
  #divide(c) {
    const view = this.#view;
    const { divider } = c;
    const end = divider && Math.min(divider.upTo, view.high);
    if (divider === view.divider && end === view.divided) return;
    const begins = divider !== view.divider;
    Object.assign(view, { divider, divided: end });
    this.#news.remove();
    const first = c.entries[0]?.seq;
    const missed = divider ? c.entries.slice(Math.max(0, divider.after + 1 - first), end + 1 - first) : [];
    const others = this.#standing(missed).filter((entry) => isSaid(entry) && entry.data.user_id !== state.me);
    const node = others.length && this.reveal(others[0].seq);
    if (!node) return;
    this.#news.textContent = t("missed", { n: others.length });
    node.before(this.#news);
    node.classList.remove("joined");
    if (!begins || !this.#atEnd) return;
    this.#keepEnd();
    this.#news.scrollIntoView();
    this.#atEnd = false;
    this.#scrolled();
  }

  #last(fits) {
    return this.#view.rows.findLast(({ entry }) => fits(entry));
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = $("scroller");
    // What grows below the end that was held is not the person's scrolling.
    const held = this.#atEnd && scrollTop >= this.#top;
    this.#atEnd = held || scrollHeight - scrollTop - clientHeight < NEAR;
    this.#top = scrollTop;
    this.#after();
  }

  #keepEnd() {
    if (this.#atEnd) $("scroller").scrollTop = $("scroller").scrollHeight;
  }

  #after() {
    const { c, low } = this.#view;
    if (this.#atEnd) this.#view.away = 0;
    const { away } = this.#view;
    $("to-end").hidden = this.#atEnd || !c;
    $("away").textContent = away ? t("missed", { n: away }) : t("toEnd");
    if (!c?.entries.length) return;
    const { scrollTop, clientHeight } = $("scroller");
    if (!clientHeight) return;
    if (this.#atEnd && document.visibilityState === "visible") this.actions.seen(c);
    if (scrollTop > EARLY) return;
    if (low > c.entries[0].seq) this.#more();
    else if (c.hasOlder) this.actions.older(c);
  }
}

const joined = (before, { ts, data }) =>
  before?.data.user_id === data.user_id &&
  Boolean(before.data.text && data.text) &&
  !data.user_id.startsWith("agent:") &&
  new Date(ts) - new Date(before.ts) < TOGETHER_MS;

// Where a part belongs now; it is left alone when it is there.
function put(part, parent) {
  if (part.parentNode === parent) return;
  if (parent) parent.append(part);
  else part.remove();
}
