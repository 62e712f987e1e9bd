// What an entry says, its steps and its questions. Until this module is loaded its text is shown as plain text.

import { deliveredTo } from "../../sdk/src/delivery_marks.js";
import { beforeQuestions } from "../../sdk/src/entry_parts.js";
import { $, h } from "../dom.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { nameOf, state } from "../state.js";
import { runKey } from "./entries.js";
import { markdown } from "./markdown.js";
import { plain } from "./plain.js";
import { markMentions, mentionsOf } from "./mentions.js";
import { showQuestions } from "./question.js";
import { showReactions } from "./reactions.js";
import { Said } from "./said.js";
import { showSteps, stepsOf } from "./steps.js";
import { layer, noteOf, writeOver } from "./takeover.js";
import { switcher } from "./versions.js";

export { eventOf, latestOf, refusedShape, runShape, shapeOf } from "./entry_extras.js";

const SHARE = 4; // drawing a stream may take a fifth of the time

// `one`: the entry, the run or the item of the outbox that the node shows.
export function dress(node, had, { agent, name, text, parts, tools = [], interrupts = [], reason, reply_to, files, writing, version, current }, c, connection, one) {
  const apart = interrupts[1] || interrupts[0]?.form?.kind === "review"; // the questions are shown in their cards only
  const part = (which, of = node) => of?.querySelector(which) ?? "";
  if (part(".text")) write(node, had, text, c);
  node.said = had?.said ?? new Said();
  const again = writing && one.withdrawn[0];
  if (again && had) node.style.minHeight = `${had.offsetHeight}px`; // steps of the attempt before are gone: nothing moves up
  if (agent) {
    part(".said").replaceWith(node.said.node);
    if (!writing) node.said.show(parts ?? [{ kind: "text", text: apart ? beforeQuestions({ text, interrupts }) : text }], { agent: name });
    const steps = part(".steps", had);
    if (steps) part(".steps").replaceWith(steps);
    // What was drawn of the run has reports as well, unless the end came before they were drawn.
    const updates = had?.updates?.length >= tools.length ? had.updates : tools.map((tool) => ({ tool }));
    showSteps(part(".steps"), updates, writing);
    node.updates = had?.updates;
    if (again) layer(node, had, one, nameOf(`agent:${c.graph}`));
  }
  if (version) part(".versions").replaceWith?.(switcher(c, current, version));
  Object.assign(node, { one, c });
  if (reply_to) quote(part(".quote"), c, reply_to);
  if (files) lazy.messageFiles.load().then(({ showFiles }) => showFiles(part(".files"), connection, c, files));
  if (part(".reactions")) showReactions(part(".reactions"), c, one.seq);
  lazy.messageActions.loaded?.keep(node, had);
  if (one.pages) lazy.longEntries.load().then(({ offer }) => offer(part(".long"), c, one));
  const asks = part(".asks");
  if (asks) showQuestions(asks, part(".asks", had), { c, interrupts, reason, words: parts || apart || !text, shortened: one.pages > 0 });
}

// What a person wrote, in nodes that stay while it is the same.
function write(node, had, text, c) {
  const place = node.querySelector(".text");
  const wrote = `${text}\0${mentionsOf(c, text)}`;
  node.wrote = wrote;
  if (had?.wrote === wrote) return place.replaceWith(had.querySelector(".text"));
  markdown(place)(text);
  markMentions(place, c);
}

function quote(button, c, seq) {
  if (!button) return;
  const [name, text] = button.childNodes;
  button.replaceChildren(Object.assign(h("bdi"), { className: "name" }), Object.assign(h("span"), { dir: "auto" }));
  if (text) button.firstChild.append(name);
  button.lastChild.append(text ?? name);
  button.onclick = async () => (await lazy.replies.load()).jumpTo(c, seq);
}

const saidIn = ({ text, files }) => plain(text.slice(0, 500)) || files?.map(({ name }) => name).join(", ") || t("noText");

const noted = new WeakMap(); // conversation -> what was last said of its run

// For screen readers: `latest`, the data of a message that has come, and what happens to the run.
export function announce(c, latest) {
  const box = $("announced");
  if (latest) box.textContent = `${latest.name ?? nameOf(latest.user_id)}: ${saidIn(latest)}`;
  const run = c.stream.current;
  const now = run && noteOf(run);
  if (now && now !== noted.get(c)) box.textContent = now;
  noted.set(c, now);
}

let frame = 0;
let rested = 0; // when the stream may be drawn again

// What is said so far, at most once in a frame; `grown` is called after it.
export function stream(log, grown) {
  frame ||= requestAnimationFrame((began) => {
    frame = 0;
    const c = state.open;
    const run = c?.stream.current;
    const node = run && log.shown.get(runKey(run))?.node;
    if (!node?.said) return;
    if (began < rested) {
      stream(log, grown);
      return;
    }
    const agent = nameOf(`agent:${c.graph}`);
    const waiting = t(run.status === "queued" ? "waiting" : "thinking", { name: agent });
    node.said.show(run.parts, { agent, waiting });
    node.updates = stepsOf(run);
    showSteps(node.querySelector(".steps"), node.updates, true);
    writeOver(node);
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
