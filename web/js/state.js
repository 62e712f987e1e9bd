// What the whole page shows, and the one way to have it drawn again.

import { Conversation } from "./conversation.js";

export const state = {
  me: "", // this user's id
  name: "",
  node: "", // the name of the node this page is connected to
  link: "connecting", // connecting, online, catching, reconnecting or offline
  open: null, // the conversation that is shown
  opening: "", // the id of one that is being joined
  conversations: new Map(),
  names: new Map(), // user id -> name, as met in entries
};

const drawers = [];
let due = false;

export function onChange(draw) {
  drawers.push(draw);
}

// Something changed: draw once, soon, however often this is called.
export function changed() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    for (const draw of drawers) draw();
  });
}

// The conversation with this id, made when it is met for the first time.
export function meet(id, makeDraft) {
  if (!state.conversations.has(id)) state.conversations.set(id, new Conversation(id, makeDraft(id)));
  return state.conversations.get(id);
}

export const nameOf = (userId) => state.names.get(userId) ?? userId;
