// Whom an @ may mean: the members and the agent, in a list above the field; and marked in what was said.

import { mentions, PERSON } from "../../sdk/src/unread.js";
import { $, h } from "../dom.js";
import { nameOf, state } from "../state.js";
import { initialOf, paint } from "./person.js";

const MOST = 8;
const BEGUN = /(?:^|[^A-Za-z0-9_@.+-])[@＠]([\p{L}\p{N}_.-]{0,40})$/u;

let chosen = 0;

export function begin() {
  const field = $("text");
  field.addEventListener("input", () => suggest(field));
  field.onblur = () => hide(field);
  // Before the field takes the key.
  $("composer").addEventListener("keydown", (event) => press(field, event) && event.stopPropagation(), true);
}

// As a mention is read: without spaces.
const written = (name) => name.replace(/\s/g, "");

// The names and ids that an @ in the conversation may mean, this person's own first.
const namesIn = (c) => [state.me, state.name, "agent", c.graph, ...(c.members ?? []).flatMap(({ user_id, name }) => [user_id, name])].filter(Boolean);

// What a text mentions, to be marked again when more is known; "" in nearly all texts.
export const mentionsOf = (c, text) => /[@＠]/.test(text) && namesIn(c).filter((name) => mentions(text, [name])).join();

// Mark them in the nodes of a message.
export function markMentions(place, c) {
  const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  const texts = [];
  for (let node; (node = walker.nextNode()); ) if (/[@＠]/.test(node.data) && !node.parentNode.closest("code, a, .mentioned")) texts.push(node);
  for (const node of texts) node.replaceWith(...marked(node.data, namesIn(c)));
}

function marked(text, names) {
  const parts = [];
  let done = 0;
  for (const { 0: found, 1: word, index } of text.matchAll(PERSON)) {
    const at = names.findIndex((name) => mentions(found, [name]));
    if (at < 0) continue;
    // Chinese goes on after a name without a space.
    const named = written(names[at]);
    const end = index + 1 + (word.toLowerCase().startsWith(named.toLowerCase()) ? named.length : word.length);
    parts.push(text.slice(done, index), Object.assign(h("span", text.slice(index, end)), { className: at < 2 ? "mentioned me" : "mentioned" }));
    done = end;
  }
  return [...parts, text.slice(done)];
}

function people(c) {
  const members = (c.members ?? []).filter(({ user_id }) => user_id !== state.me);
  const all = members.map(({ user_id, name }) => ({ id: user_id, name, word: written(name) }));
  if (c.agent === "off") return all;
  return [{ id: `agent:${c.graph}`, name: nameOf(`agent:${c.graph}`), word: /^[\w.:-]+$/.test(c.graph) ? c.graph : "agent" }, ...all];
}

function begunIn(field) {
  return field.selectionStart === field.selectionEnd && BEGUN.exec(field.value.slice(0, field.selectionStart))?.[1];
}

// After each change of the text.
function suggest(field) {
  const { open: c } = state;
  const begun = begunIn(field);
  if (typeof begun !== "string" || !c) return hide(field);
  if (!c.members) c.loadMembers().then(() => suggest(field), () => {});
  const sought = begun.toLowerCase();
  const fits = ({ name, word }) => word.toLowerCase().startsWith(sought) || name.toLowerCase().split(/\s+/).some((part) => part.startsWith(sought));
  const found = people(c).filter(fits).slice(0, MOST);
  if (!found[0]) return hide(field);
  const list = $("mention-list");
  list.replaceChildren(...found.map((person, index) => option(field, person, index)));
  list.hidden = false;
  field.setAttribute("aria-controls", list.id);
  mark(field, 0);
}

function option(field, { id, name, word }, index) {
  const face = Object.assign(h("span", initialOf(name)), { className: "face", ariaHidden: "true" });
  paint(face, id);
  const item = h("li", face, h("bdi", name), Object.assign(h("span", `@${word}`), { className: "quiet" }));
  Object.assign(item, { id: `mention-${index}`, role: "option" });
  item.dataset.word = word;
  // The field keeps the focus.
  item.onpointerdown = (event) => {
    event.preventDefault();
    take(field, word);
  };
  return item;
}

function mark(field, at) {
  const { children } = $("mention-list");
  chosen = (at + children.length) % children.length;
  for (const [index, item] of [...children].entries()) item.ariaSelected = String(index === chosen);
  field.setAttribute("aria-activedescendant", `mention-${chosen}`);
}

function hide(field) {
  $("mention-list").hidden = true;
  field.removeAttribute("aria-activedescendant");
}

function take(field, word) {
  const end = field.selectionStart;
  field.setSelectionRange(end - begunIn(field).length, end);
  hide(field);
  document.execCommand("insertText", false, `${word} `); // can be undone, and tells the field
}

// Returns whether the list has taken the key.
function press(field, event) {
  const list = $("mention-list");
  if (list.hidden || event.isComposing) return false;
  const { key } = event;
  if (key === "ArrowDown") mark(field, chosen + 1);
  else if (key === "ArrowUp") mark(field, chosen - 1);
  else if (key === "Enter" || key === "Tab") take(field, list.children[chosen].dataset.word);
  else if (key === "Escape") hide(field);
  else return false;
  event.preventDefault();
  return true;
}
