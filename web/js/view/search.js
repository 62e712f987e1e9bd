// Searches the open conversation, the newest hit first: what is loaded at once, and all of it on the server. Leads to a
// hit, to a date, or to a message that an address names.

import { $, onClick, onSubmit, write } from "../dom.js";
import { t } from "../i18n.js";
import { state } from "../state.js";
import { goTo } from "./loaded.js";
import { folded, placesOf } from "./plain.js";

const STILL_MS = 350; // without a key press: a search costs the server more than other requests

const bare = (text) => folded(text).replace(/[*_`~]/g, "");

let page; // {client, log}
let hits = []; // {seq}, newest first
let at = 0;
let next = null; // where the server would go on
let asked = 0; // counts searches: an answer to an earlier one is dropped
let still;

export function begin(context) {
  page = context;
  const form = $("search");
  $("query").oninput = find;
  form.onkeydown = ({ key }) => key !== "Escape" || toggle(false);
  onSubmit(form, () => go(1));
  onClick({
    find: () => toggle(form.hidden),
    "end-search": () => toggle(false),
    "next-hit": () => go(-1),
    "search-on": () => more(true),
    "search-everywhere": everywhere,
  });
  $("date").onchange = () => toDate($("date").value);
}

export function toggle(open) {
  const form = $("search");
  if (form.hidden !== open) return;
  form.hidden = !open;
  $("find").ariaExpanded = open;
  $("query").value = $("date").value = "";
  $("date").max = new Date().toLocaleDateString("sv"); // as 2026-11-28
  find();
  $(open ? "query" : "find").focus();
}

function everywhere() {
  $("query-all").value = $("query").value;
  toggle(false);
  if (matchMedia("(max-width: 720px)").matches) location.hash = "";
  $("query-all").dispatchEvent(new Event("input"));
  $("query-all").focus();
}

const wanted = () => $("query").value.trim();

function find() {
  const words = bare(wanted());
  const { open: c } = state;
  const says = ({ text = "", files = [] }) => [text, ...files.map(({ name }) => name)].some((one) => bare(one).includes(words));
  const fits = (entry) => c.isCurrent(entry) && says(entry.data);
  hits = (words && c?.shown.filter(fits).reverse()) || [];
  at = 0;
  next = null;
  asked++;
  clearTimeout(still);
  if (words && state.features.includes("search")) still = setTimeout(more, STILL_MS);
  $("search-on").hidden = true;
  if (hits[0]) go(0);
  else mark();
}

// The next page of hits from the server; a page may be empty though there are hits further back.
async function more(goOn = false) {
  const { open: c } = state;
  const mine = ++asked;
  const query = wanted();
  const first = next === null;
  write({ hits: t("searching") });
  const answer = await page.client.connection.ask(c, "message:search", { query, before: next, limit: 50 }).catch((error) => ({ error }));
  if (mine !== asked || c !== state.open) return;
  if (answer.error) return mark();
  const known = new Set(hits.map(({ seq }) => seq));
  const found = answer.hits.filter(({ seq }) => !known.has(seq));
  const here = hits[at]?.seq;
  hits = [...hits, ...found].sort((a, b) => b.seq - a.seq);
  next = answer.next;
  $("search-on").hidden = answer.complete || !next;
  at = Math.max(0, hits.findIndex(({ seq }) => seq === here));
  if (goOn && found[0]) at = hits.indexOf(found[0]);
  if ((first && here === undefined) || goOn) return go(0);
  mark();
}

async function go(step) {
  const n = hits.length;
  if (at + step >= n && next) return more(true);
  at = (at + step + n) % n || 0;
  if (n) await jump(hits[at].seq);
  else mark();
}

// How many there are, and all of them in sight marked.
function mark() {
  const words = folded(wanted());
  const n = hits.length;
  write({ hits: words && (n ? `${at + 1} / ${n}${next ? "+" : ""}` : t("noHits")) });
  CSS.highlights?.set("found", new Highlight(...(words ? rangesOf(words) : [])));
}

// Show an entry of the open conversation, wherever it is.
async function jump(seq, since) {
  const { open: c } = state;
  const node = await goTo(page.log, c, { seq, since });
  if (c !== state.open) return;
  document.querySelector(".hit")?.classList.remove("hit");
  node?.classList.add("hit");
  mark();
}

// To the message that the address names, once.
export async function jumpToAddressed() {
  const seq = Number(/&at=(\d+)/.exec(location.hash)?.[1]);
  if (!seq || !state.open) return;
  history.replaceState(null, "", location.hash.replace(/&at=.*/, ""));
  await jump(seq);
}

async function toDate(day) {
  if (!day) return;
  const since = new Date(`${day}T00:00`);
  if (since > new Date()) return page.log.toEnd();
  await jump(undefined, since.toISOString());
}

function* rangesOf(words) {
  const walker = document.createTreeWalker($("log"), NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    for (const [from, to] of placesOf(node.data, words)) {
      yield new StaticRange({ startContainer: node, startOffset: from, endContainer: node, endOffset: to });
    }
  }
}
