// What the page shows, and how it is drawn again.

import { begin } from "./client.js";

let client;

// What the client knows, and what the page adds.
export const state = {
  open: null, // the conversation that is shown
  opening: "", // the id of one that is being joined
  unsent: null, // once the page has opened without a connection: how many messages wait to be sent
  refusal: null, // {code, message}: why no connection is made, as far as it is known
  conversations: new Map(),
  names: new Map(),
  get me() {
    return client?.me ?? "";
  },
  get name() {
    return client?.name ?? "";
  },
  get node() {
    return client?.node ?? "";
  },
  get graphs() {
    return client?.graphs ?? [];
  },
  get features() {
    return client?.features ?? [];
  },
  get pushKey() {
    return client?.pushKey ?? "";
  },
  get devices() {
    return client?.devices ?? [];
  },
  get link() {
    return client?.link ?? "connecting";
  },
  get behind() {
    return client?.behind ?? 0;
  },
  get retryAt() {
    return client?.connection.retryAt ?? 0;
  },
};

const drawers = [];
let due = false;

export const onChange = (drawer) => drawers.push(drawer);

function draw() {
  for (const drawer of drawers) drawer();
}

// Draw soon, once for all calls until then.
export function changed() {
  if (client) return client.changed();
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    draw();
  });
}

export function beginClient() {
  client = begin();
  Object.assign(state, { conversations: client.conversations, names: client.names });
  client.subscribe(draw);
  return client;
}

export const nameOf = (userId) => client.nameOf(userId);
