// The messages on their way, of all tabs of this server.

import { indexedDBStore } from "../sdk/src/stores/indexeddb.js";
import { kept } from "./address.js";

const store = indexedDBStore(kept);

// Without a database they are in memory only.
export const step = (act) => store.step(act).catch(() => {});
