// The open conversation's log on the screen: a stretch of what is loaded, at its end unless the person scrolled up.

import { $, show } from "./dom.js";
import { byOthers, keyOf, lines, runKey, standing } from "./entries.js";
import { t } from "./i18n.js";
import { nameOf, state } from "./state.js";
import { showSteps } from "./tools.js";

const NEAR = 48; // px from the end that count as being there
const EARLY = 900; // px from an end of the stretch at which it is moved
const STRETCH = 240; // entries drawn, however many are loaded
const STEP = 60; // entries by which it is moved
const SHARE = 4; // drawing a stream may take a fifth of the time

export class Timeline {
  #c = null; // the conversation that is shown
  #low; // the stretch begins with this seq
  #last; // the last entry when it was drawn
  #read; // and when the person was at the end
  #divider;
  #atEnd;
  #top = 0;
  #frame = 0;
  #next = 0; // when to draw the stream again

  constructor(outbox, actions, edit) {
    Object.assign(this, { outbox, actions, edit });
    const scroller = $("scroller");
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const keep = new ResizeObserver(() => this.#keepEnd());
    for (const node of [scroller, $("log")]) keep.observe(node);
    document.addEventListener("visibilitychange", () => this.#after());
    $("to-end").onclick = () => this.toEnd();
  }

  toEnd() {
    this.#atEnd = true;
    this.draw();
  }

  // What can be searched; and the node of an entry, drawn if it is not there yet.
  get texts() {
    return standing(this.#c?.entries ?? []).filter(({ data }) => data.text);
  }

  reveal(entry) {
    const { seq } = entry;
    this.#atEnd = false;
    if (seq < this.#low || seq >= this.#low + STRETCH) this.#low = seq - STEP;
    this.draw();
    return $("log").shown.get(keyOf(entry))?.node;
  }

  draw() {
    const c = state.open;
    const log = $("log");
    const scroller = $("scroller");
    if (c !== this.#c) {
      show(log, []);
      this.#c = c;
      this.#low = Infinity;
      this.#last = this.#divider = null;
      this.#atEnd = true;
    }
    if (!c?.loaded) return;
    const { entries, divider } = c;
    const first = entries[0]?.seq ?? 1;
    const last = entries.at(-1)?.seq ?? 0;
    const begins = divider && divider !== this.#divider && this.#atEnd;
    if (begins) this.#low = Math.min(this.#low, divider.after - 5);
    else if (this.#atEnd && last >= this.#low + STRETCH) this.#low = last - STEP;
    this.#low = Math.max(first, Math.min(this.#low, last - STEP));

    const held = log.contains(document.activeElement);
    const inSight = (node) => node.matches(".said") && node.offsetTop + node.offsetHeight > scroller.scrollTop;
    const anchor = !this.#atEnd && [...log.children].find(inSight);
    const stood = anchor?.offsetTop;
    const from = this.#low - first;
    show(log, lines(c, entries.slice(from, from + STRETCH), this.#live, this));
    if (held && !log.contains(document.activeElement)) scroller.focus({ preventScroll: true });
    if (anchor?.isConnected) scroller.scrollTop += anchor.offsetTop - stood;
    this.#keepEnd();

    const news = log.querySelector(".news");
    if (news || !divider) this.#divider = divider;
    if (news && begins) {
      news.scrollIntoView();
      this.#atEnd = false;
      this.#scrolled();
    }
    const heard = this.#last && this.#since(this.#last).at(-1)?.data;
    if (heard) $("heard").textContent = `${heard.name ?? nameOf(heard.user_id)}: ${heard.text.slice(0, 500)}`;
    this.#last = last;
    if (!c.answer.current && document.activeElement === $("stop")) $("text").focus();
    $("stop").hidden = !c.answer.current;
    const names = c.typists.filter((userId) => userId !== state.me).map(nameOf);
    $("typing").textContent = names.length ? t("typing", { names: names.join(", "), n: names.length }) : "";
    this.#stream();
    this.#after();
  }

  // The text so far, at most once in a frame.
  #stream() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const run = this.#c?.answer.current;
      const node = run && $("log").shown.get(runKey(run))?.node;
      if (!node?.markdown) return;
      const began = performance.now();
      if (began < this.#next) {
        this.#stream();
        return;
      }
      const { dataset } = node.markdown.node;
      dataset.thinking = run.text ? "" : t("thinking", { name: nameOf(`agent:${this.#c.graph}`) });
      node.markdown.show(run.text);
      node.updates = run.updates;
      showSteps(node.querySelector(".steps"), run.updates, true);
      this.#keepEnd();
      this.#next = began + SHARE * (performance.now() - began);
    });
  }

  // Whether the stretch holds the newest entry.
  get #live() {
    return !(this.#c.entries.at(-1)?.seq >= this.#low + STRETCH);
  }

  // What others have said after this entry.
  #since(seq) {
    const { entries } = this.#c;
    return entries.slice(Math.max(0, seq + 1 - entries[0]?.seq)).filter(byOthers);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = $("scroller");
    // What grows below the end that was held is not the person's scrolling.
    const held = this.#atEnd && scrollTop >= this.#top;
    this.#atEnd = held || (this.#live && scrollHeight - scrollTop - clientHeight < NEAR);
    this.#top = scrollTop;
    this.#after();
  }

  #keepEnd() {
    if (this.#atEnd) $("scroller").scrollTop = $("scroller").scrollHeight;
  }

  #after() {
    const c = this.#c;
    const { scrollTop, scrollHeight, clientHeight } = $("scroller");
    if (!c?.entries.length || !clientHeight) return;
    if (this.#atEnd) this.#read = c.entries.at(-1).seq;
    const n = this.#since(this.#read ?? c.head).length;
    $("to-end").hidden = this.#atEnd;
    $("away").textContent = n ? t("missed", { n }) : t("toEnd");
    if (this.#atEnd && document.visibilityState === "visible") this.actions.seen(c);
    const first = c.entries[0].seq;
    let way = 0;
    if (scrollTop < EARLY) {
      if (this.#low === first) this.actions.older(c);
      else if (!this.#atEnd || this.#low - STEP + STRETCH > c.head) way = -1;
    } else if (!this.#live && scrollHeight - scrollTop - clientHeight < EARLY) way = 1;
    if (!way) return;
    this.#low = Math.max(first, this.#low + way * STEP);
    this.draw();
  }
}
