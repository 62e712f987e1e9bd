// What a part needs before it is played, and what to say when it is not there. No clock, no DOM.

// `part`: {nodes, control}; `control`: the cluster's controller, or null; `alive`: how many nodes are known to be up.
// Returns null, or a result {held: null, why, ...}; `repair` when dead nodes can be started again.
export function lacking({ nodes = 1, control: disturbs = false }, control, alive) {
  if (disturbs && !control) return { held: null, why: "noControl" };
  const total = control ? control.nodes.length : alive;
  const up = control ? control.running.length : alive;
  // What a part tells is told of the whole cluster: a dead node is brought back first.
  const needs = Math.max(nodes, total);
  if (up >= needs) return null;
  return { held: null, why: up === 1 ? "needsNodes1" : "needsNodes", needs, up, repair: up < total };
}

// The verdict on a part that somebody has disturbed says so, whatever came of it.
export const verdict = (result, disturbed) => (disturbed && result.held !== null ? { ...result, held: "disturbed" } : result);
