// What was said, in full: Markdown, steps and questions. Until this module is there it stands as plain text.

import { markdown, plain } from "./markdown.js";
import { question } from "./question.js";
import { showSteps } from "./tools.js";

// `had`: the node that was there before. `node.grow` shows more of an answer that is being written.
export function dress(node, had, { agent, text, tools = [], interrupts = [], writing }, c, actions) {
  const part = (name, of = node) => of?.querySelector(name) ?? "";
  const body = part(".text");
  const keep = had?.grow === null;
  if (keep) body.replaceWith?.(part(".text", had));
  else if (agent && body) (node.grow = markdown(body))(text);
  else if (body) body.append(...plain(text));
  const steps = agent && part(".steps", had);
  if (steps) part(".steps").replaceWith(steps);
  if (agent && !keep) showSteps(part(".steps"), had?.updates ?? tools.map((tool) => ({ tool })), writing);
  if (!writing) node.grow = null;
  part(".asks").replaceChildren?.(...interrupts.map((ask) => question(c, ask, interrupts[1] || !text, actions)));
}

// What the agent has reported so far.
export function report(node, updates) {
  node.updates = updates;
  showSteps(node.querySelector(".steps"), updates, true);
}
