// The open conversation's log on the screen: drawn in place, at its end unless the person scrolled up.

import { $, arrange } from "./dom.js";
import { lines } from "./entries.js";
import { t } from "./i18n.js";
import { nameOf, state } from "./state.js";

const NEAR = 48; // px from the end that count as being there
const EARLY = 300; // px from the top at which older entries are asked for

export class Timeline {
  #shown = null;
  #atEnd = true;

  constructor(outbox, actions) {
    Object.assign(this, { outbox, actions });
    const scroller = $("scroller");
    scroller.addEventListener("scroll", () => {
      this.#atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
      this.#after();
    });
    new ResizeObserver(() => this.#keepEnd()).observe(scroller);
    document.addEventListener("visibilitychange", () => this.#after());
    $("to-end").onclick = () => this.toEnd();
  }

  toEnd() {
    this.#atEnd = true;
    this.#keepEnd();
    this.#after();
  }

  draw() {
    const c = state.open;
    const other = this.#shown !== c;
    this.#shown = c;
    if (!c) return;
    const scroller = $("scroller");
    const log = $("log");
    if (other) {
      arrange(log, []);
      this.#atEnd = true;
    }
    const held = log.contains(document.activeElement);
    const anchor = other ? null : this.#anchor();
    arrange(log, c.loaded ? lines(c, this.outbox, this.actions) : []);
    if (held && !log.contains(document.activeElement)) scroller.focus({ preventScroll: true });
    this.#stream(c.answer.current);
    if (anchor && !this.#atEnd) scroller.scrollTop += anchor.node.offsetTop - anchor.top;
    this.#keepEnd();
    const names = c.typists.filter((userId) => userId !== state.me).map(nameOf);
    $("typing").textContent = names.length ? t("typing", { names: names.join(", ") }) : "";
    this.#after();
  }

  // The text so far of the answer that is being written: its one text node is changed, nothing else moves.
  #stream(run) {
    if (!run && document.activeElement === $("stop")) $("text").focus();
    $("stop").hidden = !run;
    const text = $("log").querySelector("[aria-busy] .text");
    if (!text) return;
    text.classList.toggle("thinking", !run.text);
    if (run.text) text.removeAttribute("aria-label");
    else text.setAttribute("aria-label", t("thinking", { name: nameOf(`agent:${state.open.graph}`) }));
    if (text.textContent !== run.text) text.textContent = run.text;
  }

  // The first line that can be seen, so that it stays where it is when older ones are put above.
  #anchor() {
    const { scrollTop } = $("scroller");
    for (const node of $("log").children) {
      const top = node.offsetTop;
      if (top + node.offsetHeight > scrollTop && !node.matches(".line:first-child")) return { node, top };
    }
    return null;
  }

  #keepEnd() {
    if (this.#atEnd) $("scroller").scrollTop = $("scroller").scrollHeight;
  }

  #after() {
    const c = state.open;
    $("to-end").hidden = this.#atEnd || !c?.loaded;
    if (!c?.loaded) return;
    if (this.#atEnd && document.visibilityState === "visible") this.actions.seen(c);
    if ($("scroller").scrollTop < EARLY && c.hasOlder) this.actions.older(c);
  }
}
