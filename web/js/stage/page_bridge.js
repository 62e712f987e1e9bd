// In a frame of the stage: tells the stage what happens on this page, and does what it asks for.

import { respond, stop } from "../conversation/requests.js";
import { hooks, onChange, state } from "../state.js";

const staged = parent !== window;

function report(roomgraph, facts) {
  const at = performance.timeOrigin + performance.now();
  if (staged) parent.postMessage({ roomgraph, ...facts, at }, location.origin);
}

Object.assign(hooks, {
  onEntry: (conversation_id, { seq, type, data: { request_id, user_id } }) =>
    report("entry", { conversation_id, seq, type, request_id, user_id }),
  onSent: (conversation_id, request_id) => report("sent", { request_id, conversation_id, by_hand: !told }),
  onAcked: (request_id, seq) => report("acked", { request_id, seq }),
});

let told = false; // whether the stage has told the page to send, and not a person who uses it
let reported = "";

function reportLink() {
  const { link, node } = state;
  if (reported !== (reported = link + node)) report("link", { link, node });
}

// Commands are taken from the stage only.
export function obey(connection, actions) {
  if (!staged) return;
  onChange(reportLink);
  const commands = {
    send: ({ text }) => {
      told = true;
      actions.send(state.open, text);
      told = false;
    },
    draft: ({ text }) => state.open.draft.edit(text),
    respond: ({ value }) => respond(connection, state.open, state.open.asked[0], value),
    stop: () => stop(connection, state.open),
  };
  addEventListener("message", ({ source, origin, data }) => {
    if (source === parent && origin === location.origin && Object.hasOwn(commands, data?.do)) commands[data.do](data);
  });
}
