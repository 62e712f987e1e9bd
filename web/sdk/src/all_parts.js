// All parts that may come later, at once: bundlers and Node need no `import()` then. The page has its own way, lazy.js.

import * as actions from "./actions.js";
import * as deliveryMarks from "./delivery_marks.js";
import { parts } from "./later.js";
import * as list from "./list.js";
import * as records from "./outbox_records.js";
import * as requests from "./requests.js";
import * as typing from "./typing.js";

export function takeAllParts() {
  for (const [name, module] of Object.entries({ actions, deliveryMarks, list, records, requests, typing })) {
    const there = async () => module;
    parts[name] = { loaded: module, load: there, now: there };
  }
}
