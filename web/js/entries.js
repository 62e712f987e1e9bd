// What one entry looks like: something that was said, with its questions, or an event told in one line.

import { fill, h } from "./dom.js";
import { clock, exactly, explain, t } from "./i18n.js";
import { Markdown, plain } from "./markdown.js";
import { question } from "./question.js";
import { nameOf, state } from "./state.js";
import { showSteps } from "./tools.js";

// Whether an entry is something that was said; the others are told in one line.
export const isSaid = ({ data }) => data.user_id && (data.text || data.interrupts);

export const isMine = ({ data }) => data.user_id === state.me && data.client_id;

// `steps`: what was seen of the agent's work while the answer was written.
export function entryNode(c, entry, actions, steps) {
  const { ts, type, data } = entry;
  const told = t(`entry_${type}`, { ...data, name: data.by?.name ?? data.name ?? nameOf(data.user_id) });
  if (!isSaid(entry)) return h(`p.line.${type}`, {}, told ?? t("unknownEntry", { type }));
  const node = said({ ...data, ts, note: data.edits ? t("edited") : told });
  if (data.tools || steps) showSteps(node.steps, steps ?? data.tools.map((tool) => ({ tool })));
  if (isMine(entry)) mark(node, ...receipt(c, entry));
  ask(c, node, data, actions);
  return node;
}

// Put an entry's questions below it, as they stand now. Returns whether they may still change.
export function ask(c, node, { interrupts = [], text }, actions) {
  const sign = interrupts.map(({ interrupt_id: id }) => c.asked.has(id) || c.resolved.has(id)).join();
  if (!sign) return false;
  if (node.sign !== sign) {
    node.sign = sign;
    const words = interrupts.length > 1 || !text;
    node.querySelector(".asks").replaceChildren(...interrupts.map((one) => question(c, one, words, actions)));
  }
  return interrupts.some(({ interrupt_id: id }) => !c.resolved.has(id));
}

// One thing that was said; `what` is an entry's data with ts, or a message or answer that is no entry yet.
export function said({ user_id, name = nameOf(user_id), ts, text, stream, interrupts, note, error, again, drop }) {
  const mine = user_id === state.me;
  const agent = user_id.startsWith("agent:");
  const date = new Date(ts);
  const node = fill("said", {
    face: !mine && [...name][0].toUpperCase(),
    name: !mine && name,
    time: clock(date),
    steps: agent,
    text: agent ? Boolean(text || stream) : plain(text),
    asks: Boolean(interrupts),
    note,
    failed: Boolean(error),
    why: error && t("refused", { why: explain(error) }),
    again,
    drop,
    mark: mine && !error,
  });
  node.classList.toggle("mine", mine);
  node.classList.toggle("agent", agent);
  node.querySelector("time").title = exactly(date);
  node.steps = node.querySelector(".steps");
  const body = node.querySelector(".text");
  if (agent && body) {
    node.markdown = new Markdown(body);
    node.markdown.show(text);
  }
  if (stream) node.ariaBusy = "true";
  return node;
}

// How far a message of this person's has come.
export function receipt(c, entry) {
  const readers = Object.entries(c.reads).filter(([userId, read]) => userId !== state.me && read >= entry.seq);
  if (readers.length) return ["read", t("readBy", { names: readers.map(([userId]) => nameOf(userId)).join(", ") })];
  const n = c.deliveredTo?.(entry);
  return n ? ["delivered", t("delivered", { n })] : ["sent", t("sent")];
}

export function mark(node, far, label) {
  const sign = node.querySelector(".mark");
  if (!sign) return;
  sign.dataset.far = far;
  sign.ariaLabel = sign.title = label;
}
