// A run that another node continues: what was said stays in its place, dimmed, until the new attempt has written over it.

import { h } from "../dom.js";
import { clock, t } from "../i18n.js";
import { Said } from "./said.js";

const watched = new Map(); // run id -> the attempts that this page has seen, in order: {version, node}

// The attempts at a run. An attempt that waits for a node has none, or still that of the one before.
function attemptsAt({ run_id, version, node, status }) {
  const all = watched.get(run_id) ?? [];
  watched.set(run_id, all);
  if (all.at(-1)?.version !== version) all.push({ version, node: null });
  if (node && status !== "queued") all.at(-1).node = node;
  return all;
}

// What is said of a run while it is not written, or written again.
export function noteOf(run) {
  const attempts = attemptsAt(run);
  const node = attempts.at(-1).node;
  const from = attempts.findLast((one) => one.node && one.node !== node)?.node;
  if (run.status === "stalled") return t("stalled", { node });
  if (!run.withdrawn[0]) return "";
  if (!from) return t(run.status === "queued" ? "startsSoon" : "startsAgain");
  return t(node ? "tookOver" : "wentAway", { from, node });
}

// A final entry that took more than one attempt: which node gave it, in which attempt, and when. Old entries name no node.
export function markOf({ ts, data: { attempt, node } }) {
  if (!(attempt > 1)) return "";
  return [node && t("byNode", { node }), t("attempt", { attempt }), clock(new Date(ts))].filter(Boolean).join(" · ");
}

// Put what was withdrawn below what is said now, in the same place. `had`: the node that is replaced.
export function layer(node, had, { withdrawn, version }, agent) {
  const { said } = node;
  const old = had?.withdrawn?.version === version ? had.withdrawn : { version, said: new Said() };
  node.withdrawn = old;
  old.said.show(withdrawn, { agent });
  old.said.node.classList.add("before");
  Object.assign(old.said.node, { inert: true, ariaHidden: "true" });
  const layers = Object.assign(h("div"), { className: "layers" });
  said.node.replaceWith(layers);
  layers.append(old.said.node, said.node);
}

const visible = (node) => node.textContent.replace(/\s/g, "");

// The new text hides the old one as far down as it comes; where both are the same, they lie upon each other.
export function writeOver({ withdrawn, said }) {
  if (!withdrawn) return;
  const old = withdrawn.said.node;
  const same = visible(old).startsWith(visible(said.node));
  old.style.clipPath = same ? "" : `inset(${said.node.offsetHeight}px 0 0)`;
}
