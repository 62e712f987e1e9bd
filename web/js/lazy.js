// Modules that come after the start: fetched when first needed, or when the page is online and idle, so that none is
// missing when the node or the network is lost.

import { Later, preload } from "../sdk/src/later.js";
import { base } from "./address.js";
import { changed } from "./state.js";
import { frame } from "./storage.js";

let context; // what the modules' `begin` is given
let idle;

function begin(module) {
  module.begin?.(context);
  changed();
}

class Lazy extends Later {
  constructor(fetch) {
    super(() => fetch(""), fetch, begin);
  }
}

export const lazy = {
  attachments: new Lazy((q) => import(`./view/attachments.js${q}`)),
  addDevice: new Lazy((q) => import(`./view/add_device.js${q}`)),
  entryContent: new Lazy((q) => import(`./view/entry_content.js${q}`)),
  guest: new Lazy((q) => import(`./guest.js${q}`)),
  itemMenu: new Lazy((q) => import(`./view/item_menu.js${q}`)),
  lines: new Lazy((q) => import(`./view/lines.js${q}`)),
  listView: new Lazy((q) => import(`./view/list.js${q}`)),
  longEntries: new Lazy((q) => import(`./view/long_entries.js${q}`)),
  mentions: new Lazy((q) => import(`./view/mentions.js${q}`)),
  messageActions: new Lazy((q) => import(`./view/message_actions.js${q}`)),
  messageFiles: new Lazy((q) => import(`./view/message_files.js${q}`)),
  newConversation: new Lazy((q) => import(`./view/new_conversation.js${q}`)),
  people: new Lazy((q) => import(`./view/people.js${q}`)),
  outboxStore: new Lazy((q) => import(`./outbox_store.js${q}`)),
  partKinds: new Lazy((q) => import(`./view/part_kinds.js${q}`)),
  paste: new Lazy((q) => import(`./view/paste.js${q}`)),
  replies: new Lazy((q) => import(`./view/replies.js${q}`)),
  requests: new Lazy((q) => import(`./requests.js${q}`)),
  review: new Lazy((q) => import(`./view/review.js${q}`)),
  schemaForm: new Lazy((q) => import(`./view/schema_form.js${q}`)),
  search: new Lazy((q) => import(`./view/search.js${q}`)),
  searchAll: new Lazy((q) => import(`./view/search_all.js${q}`)),
  settings: new Lazy((q) => import(`./view/settings.js${q}`)),
  shortcuts: new Lazy((q) => import(`./view/shortcuts.js${q}`)),
  signOut: new Lazy((q) => import(`./sign_out.js${q}`)),
  typing: new Lazy((q) => import(`./view/typing.js${q}`)),
  undo: new Lazy((q) => import(`./view/undo.js${q}`)),
  welcome: new Lazy((q) => import(`./view/welcome.js${q}`)),
  writing: new Lazy((q) => import(`./view/writing.js${q}`)),
};

export const provide = (given) => (context = given);

export function loadWhenIdle() {
  const load = () => [preload(), ...Object.values(lazy).map((module) => module.load()), keepShell()];
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
    await module.load();
    if (tag === "form") part.requestSubmit();
    else part.click();
  });
}
