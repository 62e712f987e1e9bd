// Requests that change something: each has one result for its `request_id`, so it is repeated until it is answered, also
// on the next connection.

import { random, wait } from "./wait.js";

const GIVE_UP_MS = 30_000;
const AGAIN_MS = 500;

export async function change(connection, event, payload) {
  const request = { request_id: random(4), ...payload };
  for (const until = performance.now() + GIVE_UP_MS; ; await wait(AGAIN_MS)) {
    try {
      return await connection.request(event, request);
    } catch (error) {
      if (!error.retryable || performance.now() > until) throw error;
    }
  }
}
