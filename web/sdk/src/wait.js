// Time and chance.

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

export const random = (words) => crypto.getRandomValues(new Uint32Array(words)).join("-");

// The ms until what was refused is asked again: as the server said, and at least `ms`. Clients that were refused together
// do not come back together.
export const pauseAfter = (error, ms) => Math.max(ms, (error?.retry_after_ms ?? 0) * (1 + Math.random() / 5));
