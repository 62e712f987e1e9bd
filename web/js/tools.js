// What the agent did on its way to an answer: tools with what they were given and gave back, and its reports.

import { arrange, fill } from "./dom.js";
import { t } from "./i18n.js";

const json = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

// A step in a few words: the tool, or what the graph says it does.
export function told({ tool, data }) {
  const words = tool?.name ?? data?.text ?? data;
  const share = data?.total ? ` ${data.done}/${data.total}` : "";
  return typeof words === "string" ? words + share : "";
}

// Show the steps in their fold; `running` while the agent is at it, and the last one is the news.
export function showSteps(fold, updates, running) {
  const steps = updates.filter(told);
  fold.hidden = !steps.length;
  const last = steps.at(-1);
  fold.dataset.status = running ? "called" : "done";
  if (last) fold.firstElementChild.textContent = running ? told(last) : t("steps", { n: steps.length });
  const items = steps.map((step, index) => ({
    key: step.tool?.id ?? index,
    sign: step.tool?.status,
    make: (had) => item(step, had?.querySelector("details")?.open),
  }));
  arrange(fold.lastElementChild, items);
}

function item({ tool, data }, open = false) {
  if (!tool) return fill("step", { told: told({ data }) });
  const { name, status, args, result } = tool;
  const shown = result === undefined ? null : json(result);
  const node = fill("step", { tool: true, name, status: t(status), args: json(args ?? {}), answered: shown, result: shown });
  node.dataset.status = status;
  node.querySelector("details").open = open;
  return node;
}
