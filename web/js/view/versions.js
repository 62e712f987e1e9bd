// The versions of an answer that was given again. The log keeps the earlier ones, hidden, and people can look at each.

import { $, fill } from "../dom.js";
import { t } from "../i18n.js";
import { changed } from "../state.js";
import { derived } from "./loaded.js";

const chosen = new WeakMap(); // conversation -> Map: turn id -> {at, n}; with another version the newest is shown again

// The version to show in the place of a final entry, and where it is among all: {one, at, n}.
export function versionOf(c, entry) {
  const earlier = entry.type === "interrupt" ? [] : (derived(c).versions.get(entry.turn_id) ?? []);
  const n = earlier.length + 1;
  const choice = chosen.get(c)?.get(entry.turn_id);
  const at = choice?.n === n ? choice.at : n;
  return { one: earlier[at - 1] ?? entry, at, n };
}

// What goes below an answer that has versions.
export function switcher(c, entry, { at, n }) {
  const choose = (to) => {
    if (!chosen.has(c)) chosen.set(c, new Map());
    chosen.get(c).set(entry.turn_id, { at: to, n });
    changed();
    // The buttons are others then.
    setTimeout(() => $("log").querySelector(`[data-turn="${entry.turn_id}"] button:not(:disabled)`)?.focus({ preventScroll: true }), 50);
  };
  const bar = fill({ is: "versions", place: `${at} / ${n}`, earlier: () => choose(at - 1), later: () => choose(at + 1) });
  const [earlier, later] = bar.querySelectorAll("button");
  earlier.disabled = at === 1;
  later.disabled = at === n;
  bar.dataset.turn = entry.turn_id;
  bar.ariaLabel = t("versions");
  return bar;
}
