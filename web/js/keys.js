// What the keyboard does; the list of it is in the page's help.

import { $ } from "./dom.js";
import { address, neighbour } from "./frame.js";

export function listenToKeys({ timeline, search, composer }) {
  const go = (step) => {
    const c = neighbour(step);
    if (c) location.hash = address(c.id);
  };
  const withAlt = {
    ArrowUp: () => go(-1),
    ArrowDown: () => go(1),
    KeyN: () => $("new").click(),
    KeyF: () => search.toggle(true),
    KeyH: () => $("help").togglePopover(),
    End: () => timeline.toEnd(),
  };
  addEventListener("keydown", (event) => {
    const { key, code, altKey, ctrlKey, metaKey, shiftKey, target } = event;
    if (event.isComposing || ctrlKey || metaKey || shiftKey) return;
    let done = altKey ? withAlt[code] : null;
    const link = target.closest("#list a");
    const list = [...$("list").querySelectorAll("a")];
    const to = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (link && to && !altKey) done = () => list.at((list.indexOf(link) + to) % list.length).focus();
    if (key === "ArrowUp" && target.id === "text" && !target.value) done = () => timeline.edit();
    if (key === "Escape" && composer.editing) done = () => composer.edit(null);
    else if (key === "Escape" && target.closest("#search")) done = () => search.toggle(false);
    if (!done) return;
    event.preventDefault();
    done();
  });
}
