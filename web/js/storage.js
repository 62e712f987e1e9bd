// What this tab remembers, in memory and sessionStorage: every tab is a device. The language, the nodes and the guests are
// the whole browser's: a closed tab may have left messages, and only its guest's token can send them.

import { random } from "../sdk/src/wait.js";
import { base, kept } from "./address.js";

const query = new URLSearchParams(location.search);
const memory = {};

// The frame in which a stage shows this page: frames of one tab share its storage.
export const frame = query.get("frame");

// It may be full or forbidden: then memory is all there is.
function storage(key, act) {
  try {
    const shared = /^(lang|guest|known_nodes|push)/.test(key);
    return act(shared ? localStorage : sessionStorage, `${kept}.${frame && !shared ? `${frame}.` : ""}${key}`);
  } catch {
    return null;
  }
}

// token, lang, device, device_name, nodes, known_nodes, push_user (notified by this browser), in_use, notice (why to sign in), drafts, and `guest ${device}` of each device.
export const stored = new Proxy(memory, {
  get: (_, key) => (memory[key] ??= storage(key, (area, name) => JSON.parse(area.getItem(name)))),
  set(_, key, value) {
    memory[key] = value;
    storage(key, (area, name) => area.setItem(name, JSON.stringify(value)));
    return true;
  },
});

// Unsent texts that the server does not have yet: kept for a reload of this tab. The key names user and device, since a
// duplicated tab has a copy of the storage, and another user may sign in: neither gets these texts.
const texts = () => new Map(stored.drafts);

export const draft = (key) => texts().get(key) ?? null;

// null: the server has it.
export function keepDraft(key, kept) {
  const all = texts();
  if (!kept && !all.has(key)) return;
  if (kept) all.set(key, kept);
  else all.delete(key);
  stored.drafts = [...all];
}

// Where this page may connect: the node that it came from, then those that it has heard of.
export const nodes = () => [base, ...(stored.known_nodes ?? []).filter((node) => node !== base)];

// Addresses are kept, shown and copied: the token is taken out first.
if (query.has("token")) {
  stored.token = query.get("token").trim();
  query.delete("token");
  history.replaceState(null, "", `${location.pathname}?${query}`.replace(/\?$/, "") + location.hash);
}

// A duplicated tab has a copy of a storage that is in use: it is another device.
if (stored.in_use && !frame) stored.device = null;
addEventListener("pageshow", () => (stored.in_use = true));
addEventListener("pagehide", () => (stored.in_use = false));

export const deviceId = () => (stored.device ??= `tab-${random(3)}`);

export function deviceName() {
  const [, browser = "Safari"] = /.*(Firefox|Edg|Chrome)/.exec(navigator.userAgent) ?? [];
  const system = /iP\w+|Android|Windows|Mac|Linux(?!; Android)|$/.exec(navigator.userAgent);
  return stored.device_name ?? `${browser.replace("Edg", "Edge")}, ${system}`;
}
