// What this tab remembers, in sessionStorage only: every tab is a device of its own.

// token, lang, device, outbox (messages not yet acked), and notice: why the sign-in page is shown.
export const stored = new Proxy({}, {
  get(_, key) {
    try {
      return JSON.parse(sessionStorage.getItem(`roomgraph.${key}`));
    } catch {
      return null;
    }
  },
  set(_, key, value) {
    try {
      sessionStorage.setItem(`roomgraph.${key}`, JSON.stringify(value));
    } catch {
      // Full or forbidden: the page works on, and forgets with the tab.
    }
    return true;
  },
});

export function deviceId() {
  return (stored.device ??= `tab-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`);
}

export function deviceName() {
  const [, browser = "Safari"] = /.*(Firefox|Edg|Chrome)/.exec(navigator.userAgent) ?? [];
  const system = /iP\w+|Android|Windows|Mac|Linux(?!; Android)|$/.exec(navigator.userAgent);
  return `${browser.replace("Edg", "Edge")}, ${system}`;
}

// Forget who was here and begin again at the sign-in page.
export function signOut(notice = null) {
  Object.assign(stored, { token: null, outbox: null, notice });
  location.reload();
}
