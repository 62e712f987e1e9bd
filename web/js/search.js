// Searching what is loaded of the open conversation: the newest hit first, all of them marked.

import { $ } from "./dom.js";
import { t } from "./i18n.js";

const bare = (text) => text.toLowerCase().replace(/[*_`~]/g, "");

export class Search {
  #hits = []; // entries, oldest first
  #at = 0;

  constructor(timeline) {
    this.timeline = timeline;
    const form = $("search");
    $("find").onclick = () => this.toggle(form.hidden);
    $("end-search").onclick = () => this.toggle(false);
    $("next-hit").onclick = () => this.#go(1);
    form.oninput = () => this.#find();
    form.onkeydown = ({ key }) => key === "Escape" && this.toggle(false);
    form.onsubmit = (event) => this.#go(-1, event.preventDefault());
  }

  toggle(open) {
    if ($("search").hidden !== open) return;
    $("search").hidden = !open;
    $("find").ariaExpanded = open;
    $("query").value = "";
    this.#find();
    $(open ? "query" : "find").focus();
  }

  #find() {
    const words = bare($("query").value.trim());
    this.#hits = words ? this.timeline.texts.filter(({ data }) => bare(data.text).includes(words)) : [];
    this.#at = this.#hits.length;
    this.#go(-1);
  }

  #go(step) {
    const n = this.#hits.length;
    this.#at = (this.#at + step + n) % n || 0;
    const words = $("query").value.trim().toLowerCase();
    $("hits").textContent = words && (n ? `${this.#at + 1} / ${n}` : t("noHits"));
    document.querySelector(".hit")?.classList.remove("hit");
    const node = n && this.timeline.reveal(this.#hits[this.#at]);
    if (node) {
      node.classList.add("hit");
      node.scrollIntoView({ block: "center" });
    }
    if (CSS.highlights) CSS.highlights.set("found", new Highlight(...(words ? ranges(words) : [])));
  }
}

function* ranges(words) {
  const walker = document.createTreeWalker($("log"), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const text = node.data.toLowerCase();
    for (let at = -1; (at = text.indexOf(words, at + 1)) >= 0; ) {
      const endOffset = Math.min(at + words.length, node.length);
      yield new StaticRange({ startContainer: node, startOffset: Math.min(at, endOffset), endContainer: node, endOffset });
    }
  }
}
