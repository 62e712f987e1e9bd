// The steps of an answer: tools with their arguments and results, and the graph's reports.

import { h, show } from "../dom.js";
import { t } from "../i18n.js";

// What a run has reported, in order: one step for each tool that was called.
export function stepsOf({ reports }) {
  const tools = new Map();
  const steps = [];
  for (const { tool, path, ...update } of reports) {
    const called = tools.get(tool?.id);
    if (called) Object.assign(called, tool);
    else steps.push({ ...update, node: path?.join("/"), tool: tool && { ...tool } });
    if (tool && !called) tools.set(tool.id, steps.at(-1).tool);
  }
  return steps;
}

// The tool, or what the graph says it does, and how far it is.
function summaryOf({ tool, data }) {
  const words = tool?.name ?? data?.text ?? data;
  return typeof words === "string" && words + (data?.total ? ` ${data.done}/${data.total}` : "");
}

// JSON for people. Many tools return it as a text.
function json(value) {
  if (typeof value !== "string") return value !== undefined && JSON.stringify(value, null, 2);
  try {
    return /^\s*[[{]/.test(value) ? JSON.stringify(JSON.parse(value), null, 2) : value;
  } catch {
    return value;
  }
}

// Show the steps in their fold, whose heading is the latest one while the agent is writing.
export function showSteps(fold, updates, running) {
  const steps = updates.filter(summaryOf);
  const n = steps.length;
  const [summary, list] = fold.children;
  fold.hidden = !n;
  fold.dataset.running = running;
  summary.replaceChildren(h("bdi", n && running ? summaryOf(steps[n - 1]) : t("steps", { n })));
  show(list, steps.map((step, key) => {
    const { id, name, status = "", args, result } = step.tool ?? {};
    const dress = (node, had) => (node.firstElementChild.open = had?.firstElementChild.open);
    const values = { summary: summaryOf(step), status: t(status), args: json(args), answered: result !== undefined, result: json(result) };
    return { is: name ? "tool" : "step", key: id ?? key, set: { className: status }, ...values, dress };
  }));
}
