// The list of the person's conversations on the screen: pinned first, then by activity, the archived ones apart.

import { $, show, toast, write } from "../dom.js";
import { clock, day, format, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { changed, nameOf, onChange, state } from "../state.js";
import { showUnread } from "./badge.js";
import { titleOf } from "./header.js";
import { initialOf, paint } from "./person.js";
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
    toast(t(c.over ? "wasDeleted" : "gone", { title: c.title }));
    location.hash = "";
  });
  const lists = $("lists");
  lists.onscroll = () => {
    if (lists.scrollHeight - lists.scrollTop - lists.clientHeight > 400 || most >= state.conversations.size) return;
    most += STEP;
    changed();
  };
  $("archived").ontoggle = changed;
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

const onlyLine = (text) => plain(text.slice(0, 400)).slice(0, 200);

// What was said last and by whom, in one line.
function lastOf({ last }) {
  const name = last.user_id === state.me ? t("yourself") : last.name || nameOf(last.user_id);
  return t("lastBy", { text: last.deleted ? t("deleted") : onlyLine(last.text) || t("noText"), name });
}

// Without a title it has the face of its agent.
const faceOf = (c) => (c.title || c.agent === "off" || !c.graph ? [titleOf(c), c.id] : [nameOf(`agent:${c.graph}`), `agent:${c.graph}`]);

function itemOf(c) {
  const { id, role, lastActivity, draft, pinned } = c;
  const invited = role === "invited";
  const n = !invited && c.unread?.count;
  const mentioned = !invited && c.unread?.mentions;
  const open = c === state.open && "page";
  const drafted = !open && !invited && draft.text;
  const [named, hue] = faceOf(c);
  return {
    is: "conversation",
    key: id,
    set: { className: n ? "new" : "" },
    face: initialOf(named),
    title: titleOf(c),
    pin: Boolean(pinned),
    time: lastActivity && briefly(new Date(lastActivity)),
    invited: invited && t("invited"),
    draft: drafted && t("draft"),
    last: drafted ? onlyLine(drafted) : !invited && c.last && lastOf(c),
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
  write({ "my-face": initialOf(state.name) });
  paint($("my-face"), state.me);
  showUnread(listed.reduce((n, c) => n + (c.role === "invited" ? 1 : (c.unread?.count ?? 0)), 0));
}
