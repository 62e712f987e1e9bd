// Searches the loaded entries of the open conversation: the newest hit first, all hits marked.

import { $, onClick, onSubmit, write } from "../dom.js";
import { t } from "../i18n.js";
import { state } from "../state.js";

const bare = (text) => text.toLowerCase().replace(/[*_`~]/g, "");

let log; // {reveal}
let hits = []; // entries, oldest first
let at = 0;

export function begin(page) {
  ({ log } = page);
  const form = $("search");
  form.oninput = find;
  form.onkeydown = ({ key }) => key !== "Escape" || toggle(false);
  onSubmit(form, () => go(-1));
  onClick({ "next-hit": () => go(1), find: () => toggle(form.hidden), "end-search": () => toggle(false) });
}

export function toggle(open) {
  const form = $("search");
  if (form.hidden !== open) return;
  form.hidden = !open;
  $("find").ariaExpanded = open;
  $("query").value = "";
  find();
  $(open ? "query" : "find").focus();
}

function find() {
  const words = bare($("query").value.trim());
  const { open: c } = state;
  const fits = (entry) => c.isCurrent(entry) && entry.data.text && bare(entry.data.text).includes(words);
  hits = (words && c?.entries.filter(fits)) || [];
  at = hits.length;
  go(-1);
}

function go(step) {
  const words = $("query").value.trim().toLowerCase();
  const n = hits.length;
  at = (at + step + n) % n || 0;
  write({ hits: words && (n ? `${at + 1} / ${n}` : t("noHits")) });
  document.querySelector(".hit")?.classList.remove("hit");
  const node = n && log.reveal(hits[at]);
  if (node) {
    node.classList.add("hit");
    node.scrollIntoView({ block: "center" });
  }
  CSS.highlights?.set("found", new Highlight(...(words ? rangesOf(words) : [])));
}

function* rangesOf(words) {
  const walker = document.createTreeWalker($("log"), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const text = node.data.toLowerCase();
    if (text.length !== node.length) continue; // positions differ from those in the text
    for (let at = -1; (at = text.indexOf(words, at + 1)) >= 0; ) {
      yield new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + words.length });
    }
  }
}
