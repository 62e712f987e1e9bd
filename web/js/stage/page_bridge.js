// In a frame of the stage: tells the stage what happens on this page, and does what it asks for.

import { onChange, state } from "../state.js";

const staged = parent !== window;

function report(roomgraph, facts) {
  const at = performance.timeOrigin + performance.now();
  if (staged) parent.postMessage({ roomgraph, ...facts, at }, location.origin);
}

let reported = "";

function reportLink() {
  const { link, node } = state;
  if (reported !== (reported = link + node)) report("link", { link, node });
}

// Commands are taken from the stage only.
export function obey(client) {
  if (!staged) return;
  client.on("entry", ({ id: conversation_id }, { seq, type, data: { request_id, user_id } }) =>
    report("entry", { conversation_id, seq, type, request_id, user_id }),
  );
  client.on("sent", (conversation_id, request_id) => report("sent", { request_id, conversation_id }));
  client.on("acked", (request_id, seq) => report("acked", { request_id, seq }));
  onChange(reportLink);
  const commands = {
    send: ({ text }) => state.open.send(text),
    draft: ({ text }) => state.open.draft.edit(text),
    respond: ({ value }) => state.open.respond(state.open.asked[0], value),
    stop: () => state.open.stop(),
  };
  addEventListener("message", ({ source, origin, data }) => {
    if (source === parent && origin === location.origin && Object.hasOwn(commands, data?.do)) commands[data.do](data);
  });
}
