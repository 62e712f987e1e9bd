// The messages on their way, of all tabs of this server.

import { indexedDBStore } from "../sdk/src/stores/indexeddb.js";
import { kept } from "./address.js";

export const { step } = indexedDBStore(kept);
