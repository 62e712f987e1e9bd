// Keyboard shortcuts, as the page's help lists them: arrows in the list, and buttons that name a key.

import { $ } from "../dom.js";

export function press(event) {
  const { key, code, altKey, ctrlKey, metaKey, target } = event;
  if (ctrlKey || metaKey) return;
  const way = { ArrowUp: "previous", ArrowDown: "next" }[key];
  const from = altKey ? $("list").querySelector("[aria-current]") : target.closest("#list a");
  const link = way && from?.parentNode[`${way}ElementSibling`]?.firstElementChild;
  const named = altKey && document.querySelector(`[aria-keyshortcuts="Alt+${code.replace("Key", "")}"]`);
  if (link && !altKey) link.focus();
  else if (link) link.click();
  else if (named) named[named.matches("input") ? "focus" : "click"]();
  else return;
  event.preventDefault();
}
