// Time and chance.

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

export const random = (words) => crypto.getRandomValues(new Uint32Array(words)).join("-");
