// What can be done with a conversation of the list: a menu at its button, or where it was pressed.

import { change } from "../../sdk/src/change.js";
import { copyLink } from "../clipboard.js";
import { $, complain, h } from "../dom.js";
import { t } from "../i18n.js";
import { changed, state } from "../state.js";
import { addressed, titleOf } from "./header.js";
import { askText, confirmed } from "./confirm.js";

let client;

export const begin = (page) => ({ client } = page);

const set = async (c, fields) => {
  Object.assign(c, fields);
  changed();
  const { pinned, archived } = await change(client.connection, "list:set", { conversation_id: c.id, ...fields });
  Object.assign(c, { pinned, archived });
  changed();
};

async function rename(c) {
  const title = await askText({ title: t("rename"), label: t("title"), act: t("saveIt"), value: c.title });
  if (title === null || title === c.title) return;
  await change(client.connection, "conversation:rename", { conversation_id: c.id, title });
}

export async function leaveAfterAsking(c) {
  const text = t(c.access === "open" ? "leaveOpenText" : "leaveText");
  if (c.role !== "invited" && !(await confirmed({ title: t("reallyLeave", { title: titleOf(c) }), text, act: t("leave") }))) return;
  await c.leave();
}

export async function removeAfterAsking(c) {
  if (!(await confirmed({ title: t("reallyDelete", { title: titleOf(c) }), text: t("deleteText"), act: t("deleteAll") }))) return;
  await change(client.connection, "conversation:delete", { conversation_id: c.id });
}

function itemsOf(c) {
  if (c.role === "invited") return [["decline", () => leaveAfterAsking(c), true]];
  const owner = c.role === "owner";
  return [
    [c.pinned ? "unpin" : "pin", () => set(c, { pinned: !c.pinned })],
    owner && ["rename", () => rename(c)],
    [c.archived ? "unarchive" : "archive", () => set(c, { archived: !c.archived })],
    ["copyLink", () => copyLink(c.id)],
    ["leave", () => leaveAfterAsking(c), true],
    owner && ["deleteAll", () => removeAfterAsking(c), true],
  ].filter(Boolean);
}

// `item`: the item's node; `event`: what asked for the menu.
export function open(item, event) {
  const c = state.conversations.get(addressed(item.querySelector("a").hash));
  if (!c) return;
  const menu = $("item-menu");
  menu.ariaLabel = titleOf(c);
  menu.replaceChildren(
    ...itemsOf(c).map(([word, act, danger]) => {
      const button = Object.assign(h("button", t(word)), { className: `plain ${danger ? "danger" : ""}`, role: "menuitem", value: word });
      button.onclick = () => {
        menu.hidePopover();
        Promise.resolve(act()).catch(complain);
      };
      return button;
    }),
  );
  menu.onkeydown = move;
  menu.showPopover();
  place(menu, item, event);
  menu.firstElementChild.focus();
}

// At the pointer, or at the button when the keyboard opened it; inside the window. On a phone CSS places it.
function place(menu, item, { type, clientX, clientY }) {
  const button = item.querySelector(".more").getBoundingClientRect();
  const [x, y] = type === "contextmenu" && clientX ? [clientX, clientY] : [button.right - menu.offsetWidth, button.bottom + 4];
  menu.style.left = `${Math.max(8, Math.min(x, innerWidth - menu.offsetWidth - 8))}px`;
  menu.style.top = `${Math.max(8, Math.min(y, innerHeight - menu.offsetHeight - 8))}px`;
}

function move(event) {
  const items = [...event.currentTarget.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Tab") event.currentTarget.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  items.at(to % items.length).focus();
}
