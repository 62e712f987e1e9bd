// What this tab remembers, in memory and sessionStorage: every tab is a device of its own. Only the language is
// the whole browser's.

const query = new URLSearchParams(location.search);
const memory = {};

// The name of the frame in which a stage shows this page: frames of one tab share its storage.
export const frame = query.get("frame");

const areaOf = (key) => (key === "lang" ? localStorage : sessionStorage);
const nameOf = (key) => `roomgraph.${frame && key !== "lang" ? `${frame}.` : ""}${key}`;

// token, lang, device, device_name, nodes, in_use, and notice: why the sign-in page is shown.
export const stored = new Proxy({}, {
  get(_, key) {
    try {
      return (memory[key] ??= JSON.parse(areaOf(key).getItem(nameOf(key))));
    } catch {
      return memory[key];
    }
  },
  set(_, key, value) {
    memory[key] = value;
    try {
      areaOf(key).setItem(nameOf(key), JSON.stringify(value));
    } catch {
      // Full or forbidden: the page works on, and forgets with the tab.
    }
    return true;
  },
});

// A token in the address is taken out of it before anything is done with it: addresses are kept, shown and copied.
if (query.has("token")) {
  stored.token = query.get("token").trim();
  query.delete("token");
  history.replaceState(null, "", `${location.pathname}?${query}`.replace(/\?$/, "") + location.hash);
}

// A duplicated tab begins with a copy of the storage of one that is in use: it is another device.
if (stored.in_use && !frame) stored.device = null;
for (const [event, inUse] of [["pageshow", true], ["pagehide", false]]) {
  addEventListener(event, () => (stored.in_use = inUse));
}

export const random = (words) => crypto.getRandomValues(new Uint32Array(words)).join("-");

export function deviceId() {
  return (stored.device ??= `tab-${random(3)}`);
}

// The name that was chosen, or else what the browser says of itself.
export function deviceName() {
  const [, browser = "Safari"] = /.*(Firefox|Edg|Chrome)/.exec(navigator.userAgent) ?? [];
  const system = /iP\w+|Android|Windows|Mac|Linux(?!; Android)|$/.exec(navigator.userAgent);
  return stored.device_name ?? `${browser.replace("Edg", "Edge")}, ${system}`;
}

// Forget who was here and begin again at the sign-in page.
export function signOut(notice = null) {
  Object.assign(stored, { token: null, notice });
  location.reload();
}
