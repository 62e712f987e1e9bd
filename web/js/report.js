// Tells a stage, in whose frame this page is shown, what really happens here, and does what it asks for.

import { state } from "./state.js";

const staged = parent !== window;

export function tell(roomgraph, facts) {
  const at = performance.timeOrigin + performance.now();
  if (staged) parent.postMessage({ roomgraph, ...facts, at }, location.origin);
}

// Nobody else than the stage is listened to.
export function obey(actions) {
  if (!staged) return;
  const acts = {
    send: ({ text }) => actions.send(state.open, text),
    draft: ({ text }) => state.open.draft.edit(text),
    respond: ({ value }) => actions.respond(state.open, [...state.open.asked][0], value),
    stop: () => actions.stop(state.open),
  };
  addEventListener("message", ({ source, origin, data }) => {
    if (source === parent && origin === location.origin && Object.hasOwn(acts, data?.do)) acts[data.do](data);
  });
}
