// What can be done with a message: a bar at the one that the pointer is over, that has the focus, or was pressed for long.

import { $, complain, fill, h } from "../dom.js";
import { format, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { onChange, state } from "../state.js";
import { confirmed } from "./confirm.js";
import { reactionsTo } from "./reactions.js";

const LONG_MS = 450;
const SLOP = 12; // px that a finger may move
const GAP = 6; // px around the bar
const REACTIONS = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];

let bar = null;
let at; // the message that has it
let back = false; // the focus comes back to a message whose bar was closed
let pressed; // the timer of a press
let held = false; // it has become a long one
let startX = 0;
let startY = 0;

export function begin() {
  const log = $("log");
  log.addEventListener("pointerover", ({ target, pointerType }) => pointerType === "mouse" && offer(target.closest("article")));
  log.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && !bar?.contains(document.activeElement) && hide());
  log.addEventListener("focusin", ({ target }) => !back && !target.closest(".bar") && matchMedia("(hover: hover)").matches && offer(target.closest("article")));
  log.addEventListener("pointerdown", press);
  log.addEventListener("keydown", move);
  for (const type of ["pointerup", "pointercancel", "pointerleave"]) log.addEventListener(type, () => clearTimeout(pressed));
  log.addEventListener("pointermove", (event) => Math.hypot(event.clientX - startX, event.clientY - startY) > SLOP && clearTimeout(pressed));
  // On a touch screen a long press would open the browser's own menu above the bar.
  log.addEventListener("contextmenu", (event) => held && event.preventDefault());
  document.addEventListener("pointerdown", ({ target }) => bar && !bar.contains(target) && !at.contains(target) && hide());
  document.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
  $("scroller").addEventListener("scroll", place);
  addEventListener("resize", place);
  onChange(reach);
  // It was drawn again; or it was deleted, or another conversation is open.
  onChange(() => bar && (at.isConnected ? place() : hide()));
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
    offer(article, true);
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
  const focused = bar?.contains(document.activeElement);
  bar?.remove();
  bar = null;
  if (!focused || !at.isConnected) return;
  back = true;
  at.focus({ preventScroll: true });
  back = false;
}

// A message that is drawn again keeps its bar.
export function keep(node, had) {
  if (!bar || had !== at) return;
  at = node;
  if (had.contains(bar)) node.append(bar); // placed when the message is on the page
}

// `touched`: by a finger, which needs larger buttons than a bar has: they come up from below, with their names.
function offer(article, touched = false) {
  const { one: entry, c } = article ?? {};
  if (!entry?.data || entry.data.deleted || (bar && at === article)) return;
  hide();
  at = article;
  const mine = entry.data.user_id === state.me;
  const act = (what) => () => {
    hide();
    Promise.resolve(what()).catch(complain);
  };
  bar = fill({
    is: "bar",
    when: format(new Date(entry.ts), "exact", { dateStyle: "medium", timeStyle: "medium" }),
    emoji: touched && reactions(c, entry),
    react: !touched && (() => choose(c, entry)),
    reply: act(async () => (await lazy.writing.load()).reply(entry.seq)),
    copy: (touched || !article.querySelector(".actions")) && act(async () => (await lazy.requests.load()).copyText(c, entry)),
    edit: mine && article.querySelector(".edit") && act(async () => (await lazy.writing.load()).edit(entry)),
    remove: (mine || c.role === "owner") && entry.type !== "failed" && act(() => remove(c, entry)),
  });
  bar.onkeydown = rove;
  if (!touched) {
    article.append(bar);
    stops();
    return place();
  }
  bar.classList.add("sheet");
  bar.popover = "manual"; // one that closes by itself would when the finger is lifted
  document.body.append(bar);
  bar.showPopover();
}

// Beside what the message says where there is room, otherwise in its heading or its corner: never above another message,
// and always inside the window.
function place() {
  if (!bar || bar.popover) return;
  const box = (node) => node.getBoundingClientRect();
  const [room, message] = [box($("scroller")), box(at)];
  const said = box(at.querySelector(".text, .said, .files") ?? at);
  const heading = at.querySelector("header");
  const mine = at.matches(".mine");
  const space = (mine ? said.left - room.left : room.right - said.right) - 2 * GAP;
  const beside = () => !at.matches(".agent") && bar.offsetWidth <= space;
  bar.classList.remove("brief");
  if (!beside()) bar.classList.add("brief");
  const { offsetWidth: width, offsetHeight: height } = bar;
  const first = Math.min(said.height, 40); // the first line
  let [x, y] = [said.right - width, said.top + GAP];
  if (beside()) [x, y] = [mine ? said.left - width - GAP : said.right + GAP, said.top + (first - height) / 2];
  else if (heading.offsetHeight) {
    const actions = at.querySelector(".actions");
    [x, y] = [(actions ? box(actions).left : said.right) - width, box(heading).bottom - height];
  }
  const within = (value, from, to) => Math.max(from, Math.min(value, to));
  x = within(x, room.left + GAP, room.left + $("scroller").clientWidth - width - GAP);
  y = within(y, room.top, room.bottom - height);
  bar.style.left = `${x - message.left}px`;
  bar.style.top = `${y - message.top}px`;
}

// Tab reaches the bar once; arrows lead from button to button.
function stops(to = bar.querySelector("button")) {
  for (const one of bar.querySelectorAll("button")) one.tabIndex = one === to ? 0 : -1;
}

function rove(event) {
  const all = [...bar.querySelectorAll("button")];
  const now = all.indexOf(event.target);
  const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: -1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const to = all.at(next % all.length);
  stops(to);
  to.focus();
}

async function remove(c, { seq }) {
  if (await confirmed({ title: t("deleteSure"), text: t("deleteSureText"), act: t("delete") })) await c.delete(seq);
}

function reactions(c, { seq }) {
  const mine = new Set(reactionsTo(c, seq).filter(([, , own]) => own).map(([reaction]) => reaction));
  return REACTIONS.map((reaction) => {
    const button = Object.assign(h("button", reaction), { className: "plain icon", ariaPressed: String(mine.has(reaction)) });
    button.ariaLabel = t("reactWith", { reaction });
    button.onclick = () => {
      hide();
      c.react(seq, reaction, !mine.has(reaction)).catch(complain);
    };
    return button;
  });
}

// A row of emoji in the place of the bar's buttons.
function choose(c, entry) {
  bar.replaceChildren(...reactions(c, entry));
  stops();
  place();
  bar.firstElementChild.focus({ preventScroll: true });
}
