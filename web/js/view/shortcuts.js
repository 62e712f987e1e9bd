// Keyboard shortcuts, as the page's help lists them: arrows in the list, and buttons that name a key.

import { $ } from "../dom.js";

export function press(event) {
  const { key, code, altKey, ctrlKey, metaKey, target } = event;
  if (ctrlKey || metaKey) return;
  const way = { ArrowUp: "previous", ArrowDown: "next" }[key];
  const from = altKey ? $("list").querySelector("[aria-current]") : target.closest("#list a");
  const link = way && from?.parentNode[`${way}ElementSibling`]?.firstElementChild;
  const button = altKey && document.querySelector(`[aria-keyshortcuts="Alt+${code.replace("Key", "")}"]`);
  if (link && !altKey) link.focus();
  else if (link ?? button) (link || button).click();
  else return;
  event.preventDefault();
}
