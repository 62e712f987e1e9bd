// Searches all of the person's conversations: titles at once, messages on the server; each hit leads to its message.

import { $, h, onClick, show } from "../dom.js";
import { explain, t } from "../i18n.js";
import { changed, nameOf, onChange, state } from "../state.js";
import { titleOf } from "./header.js";
import { address, briefly } from "./list.js";
import { folded, placesOf, plain } from "./plain.js";

const STILL_MS = 350;
const TITLES = 5; // at most

let connection;
let query = "";
let hits = [];
let next = null;
let complete = true;
let note = ""; // what is said below the hits
let asked = 0;
let still;

export function begin(page) {
  ({ connection } = page.client);
  const field = $("query-all");
  field.oninput = () => find(field.value.trim());
  field.onkeydown = ({ key }) => {
    if (key === "ArrowDown") $("results").querySelector("a")?.focus();
  };
  onClick({ "end-search-all": end });
  // Also after a hit was opened: the field for a message has the focus then.
  document.addEventListener("keydown", ({ key, target }) => {
    const here = target === document.body || target.closest("#side") || (target.id === "text" && !target.value && $("editing").hidden && $("replying").hidden);
    if (key === "Escape" && query && here) end();
  });
  $("results-more").onclick = more;
  onChange(draw);
  if (field.value) field.oninput(); // typed before this module was there
}

function end() {
  $("query-all").value = "";
  find("");
  $("query-all").focus();
}

function find(words) {
  query = words;
  hits = [];
  next = null;
  complete = true;
  note = "";
  asked++;
  clearTimeout(still);
  if (query && state.features.includes("search")) {
    note = t("searching");
    still = setTimeout(more, STILL_MS);
  }
  changed();
}

async function more() {
  const mine = ++asked;
  note = t("searching");
  changed();
  try {
    const answer = await connection.insist("message:search", { query, before: next });
    if (mine !== asked) return;
    hits.push(...answer.hits);
    ({ next, complete } = answer);
    note = hits[0] ? "" : t(next ? "noHitsYet" : "noHits");
  } catch (error) {
    if (mine === asked) note = explain(error);
  }
  changed();
}

// The text with what was searched for marked.
function marked(text) {
  const parts = [];
  let done = 0;
  for (const [from, to] of placesOf(text, folded(query))) {
    if (from < done) continue;
    parts.push(text.slice(done, from), h("mark", text.slice(from, to)));
    done = to;
  }
  return [...parts, text.slice(done)];
}

function draw() {
  $("lists").hidden = Boolean(query);
  $("found").hidden = $("end-search-all").hidden = !query;
  if (!query) return;
  const words = folded(query);
  const titled = [...state.conversations.values()].filter((c) => c.role && folded(titleOf(c)).includes(words)).slice(0, TITLES);
  show($("results"), [
    ...titled.map((c) => ({
      is: "found",
      key: c.id,
      title: titleOf(c),
      query,
      dress: (node) => {
        node.firstElementChild.href = address(c.id);
        node.querySelector(".title").replaceChildren(...marked(titleOf(c)));
      },
    })),
    ...hits.map(({ conversation_id: id, title, seq, ts, user_id, name, text }) => ({
      is: "found",
      key: `${id} ${seq}`,
      title: title || t("untitled"),
      time: briefly(new Date(ts)),
      by: t("lastBy", { name: user_id === state.me ? t("yourself") : name || nameOf(user_id), text: "" }),
      text: [text],
      query,
      dress: (node) => {
        node.firstElementChild.href = `${address(id)}&at=${seq}`;
        node.querySelector(".excerpt").lastElementChild.replaceChildren(...marked(plain(text)));
      },
    })),
  ]);
  $("results-note").textContent = note;
  $("results-more").hidden = !next || note === t("searching");
  $("results-more").textContent = t(complete ? "moreHits" : "searchFurther");
}
