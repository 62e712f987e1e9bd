// Markdown, steps and questions of an entry. Until this module is loaded its text is shown as plain text.

import { deliveredTo } from "../conversation/delivery_marks.js";
import { textOf } from "../conversation/stream.js";
import { t } from "../i18n.js";
import { nameOf, state } from "../state.js";
import { runKey } from "./entries.js";
import { markdown, plain } from "./markdown.js";
import { question } from "./question.js";
import { showSteps, stepsOf } from "./steps.js";

const SHARE = 4; // drawing a stream may take a fifth of the time

// `node.grow` shows more of an answer that is being written.
export function dress(node, had, { agent, text, tools = [], interrupts = [], writing }, c, connection) {
  const part = (name, of = node) => of?.querySelector(name) ?? "";
  const body = part(".text");
  const keep = had?.grow === null && !writing; // one that waited had nothing to keep
  if (keep) body.replaceWith?.(part(".text", had));
  else if (agent && body) (node.grow = markdown(body))(text);
  else if (body) body.append(...plain(text));
  const steps = agent && part(".steps", had);
  if (steps) part(".steps").replaceWith(steps);
  if (agent && !keep) showSteps(part(".steps"), had?.updates ?? tools.map((tool) => ({ tool })), writing);
  if (!writing) node.grow = null;
  part(".asks").replaceChildren?.(...interrupts.map((ask) => question(c, ask, interrupts[1] || !text, connection)));
}

let frame = 0;
let rested = 0; // when the stream may be drawn again

// The text so far, at most once in a frame; `grown` is called after it.
export function stream(log, grown) {
  frame ||= requestAnimationFrame((began) => {
    frame = 0;
    const c = state.open;
    const run = c?.stream.current;
    const node = run && log.shown.get(runKey(run))?.node;
    if (!node?.grow) return;
    if (began < rested) {
      stream(log, grown);
      return;
    }
    const body = node.querySelector(".text");
    const text = textOf(run.parts);
    body.dataset.thinking = text ? "" : t(run.status === "queued" ? "waiting" : "thinking", { name: nameOf(`agent:${c.graph}`) });
    node.grow(text);
    node.updates = stepsOf(run);
    showSteps(node.querySelector(".steps"), node.updates, true);
    grown();
    rested = began + SHARE * (performance.now() - began);
  });
}

// How far a message of this user's has come, and in words.
export function receipt(c, { seq, data }) {
  const readers = [...c.reads].filter(([userId, read]) => userId !== state.me && read >= seq);
  const n = deliveredTo(c, { seq, data });
  const far = readers.length ? "read" : n ? "delivered" : "sent";
  return [far, t(far, { n, names: readers.map(([userId]) => nameOf(userId)).join(", ") })];
}
