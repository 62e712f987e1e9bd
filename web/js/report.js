// Tells a stage, in whose frame this page is shown, what really happens here, and does what it asks for.

import { frame } from "./storage.js";

const staged = frame && parent !== window;

export function report(roomgraph, facts) {
  const at = performance.timeOrigin + performance.now();
  if (staged) parent.postMessage({ roomgraph, ...facts, at }, location.origin);
}

// `acts`: {name: (message) => ...}. Nobody else is listened to.
export function obey(acts) {
  if (!staged) return;
  addEventListener("message", ({ source, origin, data }) => {
    if (source === parent && origin === location.origin && Object.hasOwn(acts, data?.do)) acts[data.do](data);
  });
}
