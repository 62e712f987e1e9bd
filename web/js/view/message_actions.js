// What can be done with a message: a bar at the one that the pointer is over, that has the focus, or was pressed for long.

import { $, complain, fill, h } from "../dom.js";
import { format, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { onChange, state } from "../state.js";
import { confirmed } from "./confirm.js";
import { reactionsTo } from "./reactions.js";

const LONG_MS = 450;
const SLOP = 12; // px that a finger may move
const REACTIONS = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];

let bar = null;
let pressed; // the timer of a press
let held = false; // it has become a long one
let startX = 0;
let startY = 0;

export function begin() {
  const log = $("log");
  log.addEventListener("pointerover", ({ target, pointerType }) => pointerType === "mouse" && offer(target.closest("article")));
  log.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && !bar?.contains(document.activeElement) && hide());
  log.addEventListener("focusin", ({ target }) => !target.closest(".bar") && matchMedia("(hover: hover)").matches && offer(target.closest("article")));
  log.addEventListener("pointerdown", press);
  log.addEventListener("keydown", move);
  for (const type of ["pointerup", "pointercancel", "pointerleave"]) log.addEventListener(type, () => clearTimeout(pressed));
  log.addEventListener("pointermove", (event) => Math.hypot(event.clientX - startX, event.clientY - startY) > SLOP && clearTimeout(pressed));
  // On a touch screen a long press would open the browser's own menu above the bar.
  log.addEventListener("contextmenu", (event) => held && event.preventDefault());
  document.addEventListener("pointerdown", ({ target }) => bar && !bar.parentNode?.contains(target) && hide());
  document.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
  onChange(reach);
}

function press(event) {
  held = false;
  clearTimeout(pressed);
  const article = event.target.closest("article");
  if (event.pointerType === "mouse" || !article || event.target.closest("button, a, summary, input, textarea, .bar")) return;
  [startX, startY] = [event.clientX, event.clientY];
  pressed = setTimeout(() => {
    held = true;
    getSelection().removeAllRanges();
    offer(article);
  }, LONG_MS);
}

// One message can be reached by Tab, the others by arrows from there.
function reach() {
  const articles = $("log").getElementsByTagName("article");
  if ([...articles].some((one) => one.tabIndex === 0 && one === document.activeElement)) return;
  for (const one of articles) one.tabIndex = one === articles[articles.length - 1] ? 0 : -1;
}

function move(event) {
  const { key, target } = event;
  if (!target.matches("article") || !/^Arrow(Up|Down)$/.test(key)) return;
  const all = [...$("log").getElementsByTagName("article")];
  const next = all[all.indexOf(target) + (key === "ArrowUp" ? -1 : 1)];
  if (!next) return;
  event.preventDefault();
  target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function hide() {
  bar?.remove();
  bar = null;
}

// A message that is drawn again keeps its bar.
export function keep(node, had) {
  if (bar && had?.contains(bar)) node.append(bar);
}

function offer(article) {
  const { one: entry, c } = article ?? {};
  if (!entry?.data || entry.data.deleted || bar?.parentNode === article) return;
  hide();
  const mine = entry.data.user_id === state.me;
  const act = (what) => () => {
    hide();
    Promise.resolve(what()).catch(complain);
  };
  bar = fill({
    is: "bar",
    when: format(new Date(entry.ts), "exact", { dateStyle: "medium", timeStyle: "medium" }),
    react: () => choose(c, entry),
    reply: act(async () => (await lazy.writing.load()).reply(entry.seq)),
    copy: act(async () => (await lazy.requests.load()).copyText(c, entry)),
    edit: mine && article.querySelector(".edit") && act(async () => (await lazy.writing.load()).edit(entry)),
    remove: (mine || c.role === "owner") && entry.type !== "failed" && act(() => remove(c, entry)),
  });
  article.append(bar);
}

async function remove(c, { seq }) {
  if (await confirmed({ title: t("deleteSure"), text: t("deleteSureText"), act: t("delete") })) await c.delete(seq);
}

// A row of emoji in the place of the bar's buttons.
function choose(c, { seq }) {
  const mine = new Set(reactionsTo(c, seq).filter(([, , own]) => own).map(([reaction]) => reaction));
  const one = (reaction) => {
    const button = Object.assign(h("button", reaction), { className: "plain icon", ariaPressed: String(mine.has(reaction)) });
    button.ariaLabel = t("reactWith", { reaction });
    button.onclick = () => {
      hide();
      c.react(seq, reaction, !mine.has(reaction)).catch(complain);
    };
    return button;
  };
  const row = REACTIONS.map(one);
  bar.replaceChildren(...row);
  row[0].focus({ preventScroll: true });
}
