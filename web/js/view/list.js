// The list of the person's conversations on the screen: pinned first, then by activity, the archived ones apart.

import { $, show, toast, write } from "../dom.js";
import { clock, day, format, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { changed, nameOf, onChange, state } from "../state.js";
import { showUnread } from "./badge.js";
import { addressed, titleOf } from "./header.js";
import { initialOf, isMixed, paint, titleSign } from "./person.js";
import { plain } from "./plain.js";

const STEP = 60; // items drawn at once: some people have thousands

export const briefly = (date) =>
  day(date) === t("today") ? clock(date) : format(date, "date", { day: "numeric", month: "short" });

export const address = (id) => `#c=${encodeURIComponent(id)}`;

let most = STEP;

export function begin({ client }) {
  client.on("reset", () => toast(t("reset")));
  client.on("removed", (c) => {
    if (c !== state.open) return;
    toast(t(c.over ? "wasDeleted" : "gone", { title: titleOf(c) }));
    location.hash = "";
  });
  const lists = $("lists");
  lists.onscroll = () => {
    if (lists.scrollHeight - lists.scrollTop - lists.clientHeight > 400 || most >= state.conversations.size) return;
    most += STEP;
    changed();
  };
  $("archived").ontoggle = changed;
  // An invitation is no conversation yet: it is shown before it is accepted.
  lists.addEventListener("click", (event) => {
    const c = state.conversations.get(addressed(event.target.closest("a")?.hash));
    if (c?.role !== "invited" || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    lazy.invitation.load().then(({ show }) => show(c));
  });
  // The menu of an item: its button, the right mouse button, or a long press.
  const menu = (event) => {
    const item = event.target.closest("#lists li");
    if (!item || (event.type === "click" && !event.target.closest(".more"))) return;
    event.preventDefault();
    lazy.itemMenu.load().then(({ open }) => open(item, event));
  };
  lists.addEventListener("click", menu);
  lists.addEventListener("contextmenu", menu);
  onChange(draw);
}

const LONG_NAME = 20; // leaves room for what was said

const onlyLine = (text) => plain(text.slice(0, 400)).slice(0, 200);

// The question that waits for an answer of this person.
const askedIn = (c) => (c.approvals !== "owner" || c.role === "owner") && c.stream.interrupts.get(c.asked.at(-1));

// What was said or asked last and by whom, in one line.
function lastOf(c, asked) {
  const last = asked?.form?.text ? { user_id: `agent:${c.graph}`, text: asked.form.text } : c.last;
  if (!last) return null;
  const name = last.user_id === state.me ? t("yourself") : last.name || nameOf(last.user_id);
  const short = name.length > LONG_NAME ? `${name.slice(0, LONG_NAME - 1)}…` : name;
  return t("lastBy", { text: last.deleted ? t("deleted") : onlyLine(last.text) || t("noText"), name: short });
}

// Without a title it has the face of its agent.
const faceOf = (c) => (c.title || c.agent === "off" || !c.graph ? [titleSign(titleOf(c)), c.id] : [initialOf(nameOf(`agent:${c.graph}`)), `agent:${c.graph}`]);

function itemOf(c) {
  const { id, role, lastActivity, draft, pinned } = c;
  const invited = role === "invited";
  const n = !invited && c.unread?.count;
  const mentioned = !invited && c.unread?.mentions;
  const open = c === state.open && "page";
  const drafted = !open && !invited && draft.text;
  const asked = !invited && askedIn(c);
  const [face, hue] = faceOf(c);
  return {
    is: "conversation",
    key: id,
    set: { className: n ? "new" : "" },
    face,
    title: titleOf(c),
    pin: Boolean(pinned),
    time: lastActivity && briefly(new Date(lastActivity)),
    invited: invited && t("invited"),
    draft: drafted && t("draft"),
    last: drafted ? onlyLine(drafted) : !invited && lastOf(c, asked),
    asked: asked && ["?"],
    asks: asked && t("asks"),
    at: mentioned && ["@"],
    mentioned: mentioned && t("mentioned", { n: mentioned }),
    count: n > 99 ? "99+" : n && [n],
    unread: n && t("missed", { n }),
    open,
    hue,
    dress(node) {
      const [link] = node.children;
      Object.assign(link, { href: address(id) }, open && { ariaCurrent: open });
      paint(link.firstElementChild, hue);
      link.querySelector(".title").classList.toggle("mixed", isMixed(c.title));
    },
  };
}

function draw() {
  const lists = $("lists");
  const mine = [...state.conversations.values()].filter((c) => c.role);
  mine.sort((a, b) => (b.pinned ?? 0) - (a.pinned ?? 0) || (a.lastActivity < b.lastActivity ? 1 : -1));
  const listed = mine.filter((c) => !c.archived);
  const archived = mine.filter((c) => c.archived);
  const focused = lists.contains(document.activeElement) && document.activeElement.hash;
  show($("list"), listed.slice(0, most).map(itemOf));
  $("archived").hidden = !archived[0];
  $("archived").firstElementChild.textContent = t("archivedCount", { n: archived.length });
  show($("archive"), $("archived").open ? archived.slice(0, most).map(itemOf) : []);
  if (focused && !lists.contains(document.activeElement)) lists.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  $("none").hidden = mine[0] || state.link !== "online";
  $("unreached").hidden = Boolean(state.node) || state.unsent === null;
  write({ unreached: [t("unreached"), state.unsent && t("unsent", { n: state.unsent })].filter(Boolean).join(" ") });
  write({ "my-face": initialOf(state.name) });
  paint($("my-face"), state.me);
  const unreadOf = (all) => all.reduce((n, c) => n + (c.role === "invited" ? 1 : (c.unread?.count ?? 0)), 0);
  showUnread(unreadOf(listed));
  const elsewhere = unreadOf(listed.filter((c) => c !== state.open));
  $("elsewhere").hidden = !elsewhere;
  $("title").classList.toggle("mixed", isMixed(titleOf(state.open) ?? ""));
  write({ elsewhere: elsewhere > 99 ? "99+" : elsewhere });
  $("back").ariaLabel = elsewhere ? t("backToNews", { n: elsewhere }) : t("back");
}
