// Where this server is: its page may be below a path, and other servers beside it on the same origin.

export const base = new URL(".", location).href.slice(0, -1);

// What this server's pages keep has names of their own.
export const kept = `roomgraph${base.slice(location.origin.length)}`;
