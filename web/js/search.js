// Searching what is loaded of the open conversation: the newest hit first, all of them marked.

import { $ } from "./dom.js";
import { t } from "./i18n.js";

const MARKS = 2000;

const bare = (text) => text.toLowerCase().replace(/[*_`~]/g, "");

export class Search {
  #hits = []; // seqs, oldest first
  #at = 0;

  constructor(timeline) {
    this.timeline = timeline;
    $("find").onclick = () => this.toggle($("search").hidden);
    $("end-search").onclick = () => this.toggle(false);
    $("query").oninput = () => this.#find();
    $("next-hit").onclick = () => this.#go(1);
    $("search").onsubmit = (event) => {
      event.preventDefault();
      this.#go(-1);
    };
  }

  toggle(open) {
    if ($("search").hidden === !open) return;
    $("search").hidden = !open;
    $("find").ariaExpanded = String(open);
    $("query").value = "";
    this.#find();
    $(open ? "query" : "find").focus();
  }

  #find() {
    const words = bare($("query").value.trim());
    const hits = ({ data }) => data.text && bare(data.text).includes(words);
    this.#hits = words ? this.timeline.texts.filter(hits).map(({ seq }) => seq) : [];
    this.#at = this.#hits.length;
    this.#go(-1);
  }

  #go(step) {
    const n = this.#hits.length;
    this.#at = (this.#at + step + n) % (n || 1);
    const words = $("query").value.trim();
    $("hits").textContent = words && (n ? t("hits", { at: this.#at + 1, n }) : t("noHits"));
    document.querySelector(".hit")?.classList.remove("hit");
    const node = n && this.timeline.reveal(this.#hits[this.#at]);
    if (node) {
      node.classList.add("hit");
      node.scrollIntoView({ block: "center" });
    }
    this.#mark(words.toLowerCase());
  }

  #mark(words) {
    if (!CSS.highlights) return;
    const ranges = [];
    const walker = document.createTreeWalker($("log"), NodeFilter.SHOW_TEXT);
    while (words && ranges.length < MARKS && walker.nextNode()) {
      const { currentNode: node } = walker;
      const text = node.data.toLowerCase();
      for (let at = text.indexOf(words); at >= 0; at = text.indexOf(words, at + words.length)) {
        if (at + words.length <= node.length) ranges.push(new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + words.length }));
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }
}
