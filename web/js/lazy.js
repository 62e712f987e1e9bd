// Modules that come after the start: fetched when first needed, or when the page is online and idle, so that none is
// missing when the node or the network is lost.

import { Later, parts } from "../sdk/src/later.js";
import { base } from "./address.js";
import { changed } from "./state.js";
import { frame } from "./storage.js";

let context; // what the modules' `begin` is given
let idle;

function begin(module) {
  module.begin?.(context);
  changed();
}

const later = (path) => new Later((query) => import(`./${path}${query}`), begin);
const part = (name) => later(`../sdk/src/${name}`);

Object.assign(parts, {
  actions: part("actions.js"),
  deliveryMarks: part("delivery_marks.js"),
  list: part("list.js"),
  records: part("outbox_records.js"),
  requests: part("requests.js"),
  typing: part("typing.js"),
});

export const lazy = {
  attachments: later("view/attachments.js"),
  addDevice: later("view/add_device.js"),
  entryContent: later("view/entry_content.js"),
  guest: later("guest.js"),
  itemMenu: later("view/item_menu.js"),
  listView: later("view/list.js"),
  log: later("view/timeline.js"),
  longEntries: later("view/long_entries.js"),
  mentions: later("view/mentions.js"),
  messageActions: later("view/message_actions.js"),
  messageFiles: later("view/message_files.js"),
  newConversation: later("view/new_conversation.js"),
  people: later("view/people.js"),
  outboxStore: later("outbox_store.js"),
  partKinds: later("view/part_kinds.js"),
  paste: later("view/paste.js"),
  replies: later("view/replies.js"),
  requests: later("requests.js"),
  review: later("view/review.js"),
  schemaForm: later("view/schema_form.js"),
  search: later("view/search.js"),
  searchAll: later("view/search_all.js"),
  settings: later("view/settings.js"),
  shortcuts: later("view/shortcuts.js"),
  signOut: later("sign_out.js"),
  typing: later("view/typing.js"),
  undo: later("view/undo.js"),
  welcome: later("view/welcome.js"),
  writing: later("view/writing.js"),
};

export const provide = (given) => (context = given);

export function loadWhenIdle() {
  const load = () => {
    for (const module of [...Object.values(parts), ...Object.values(lazy)]) module.load();
    keepShell();
  };
  idle ??= (globalThis.requestIdleCallback ?? setTimeout)(load);
}

// From now on the page opens without its node. Where that is forbidden or not secure it does not.
const keepShell = () => !frame && navigator.serviceWorker?.register(`${base}/sw.js`).catch(() => {});

// Clicks and submits whose module (`data-by`) is not there yet are repeated when it is.
for (const [type, tag] of [["click", "button"], ["submit", "form"]]) {
  document.addEventListener(type, async (event) => {
    const part = event.target.closest(`${tag}[data-by]`);
    const module = lazy[part?.dataset.by];
    if (!module || module.loaded) return;
    event.preventDefault();
    await module.now();
    if (tag === "form") part.requestSubmit();
    else part.click();
  });
}
