// What this tab remembers, in sessionStorage only: every tab is a device of its own.

const PREFIX = "roomgraph.";

function get(key) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + key));
  } catch {
    return null;
  }
}

function set(key, value) {
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Full or forbidden: the page works on, and forgets with the tab.
  }
}

export const stored = {
  get token() {
    return get("token");
  },
  set token(token) {
    set("token", token);
  },
  get lang() {
    return get("lang");
  },
  set lang(lang) {
    set("lang", lang);
  },
  get outbox() {
    return get("outbox") ?? [];
  },
  set outbox(items) {
    set("outbox", items);
  },
  // Why the sign-in page is shown; read once.
  takeNotice() {
    const notice = get("notice");
    sessionStorage.removeItem(`${PREFIX}notice`);
    return notice;
  },
};

export function deviceId() {
  const id = get("device") ?? `tab-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
  set("device", id);
  return id;
}

export function deviceName() {
  const agent = navigator.userAgent;
  const browser = ["Firefox", "Edg", "Chrome", "Safari"].find((name) => agent.includes(name)) ?? "Browser";
  const system = ["iPhone", "iPad", "Android", "Windows", "Mac", "Linux"].find((name) => agent.includes(name));
  return [browser.replace("Edg", "Edge"), system].filter(Boolean).join(", ");
}

// Forget who was here and begin again at the sign-in page.
export function signOut(notice = null) {
  for (const key of ["token", "outbox"]) sessionStorage.removeItem(PREFIX + key);
  if (notice) set("notice", notice);
  location.reload();
}
