// Requests that change something: each has one result for its `request_id`, so once it may have been heard it is repeated
// until it is answered, also on the next connection.

import { offline } from "./connection.js";
import { pauseAfter, random, wait } from "./wait.js";

const CONNECT_MS = 10_000;
const GIVE_UP_MS = 30_000;
const AGAIN_MS = 500;
const LOOK_MS = 50;

// A connection that is being made is waited for, for so long. Rejects with `offline`.
export async function connected(connection) {
  for (const until = performance.now() + CONNECT_MS; !connection.ready; await wait(LOOK_MS)) {
    if (connection.closed || performance.now() > until) throw connection.ended ?? offline();
  }
}

export async function change(connection, event, payload) {
  const request = { request_id: random(4), ...payload };
  await connected(connection);
  for (const until = performance.now() + GIVE_UP_MS; ; ) {
    try {
      return await connection.request(event, request);
    } catch (error) {
      const pause = pauseAfter(error, AGAIN_MS);
      if (!error.retryable || connection.closed || performance.now() + pause > until) throw error;
      await wait(pause);
    }
  }
}
