// The three devices: the chat page itself in frames, each with a session storage of its own, and what they report.

export const DEVICES = ["laptop", "phone", "terminal"];

const frame = (name) => document.querySelector(`#${name} iframe`);

// Have each report of a frame heard: hear(name, report).
export function listen(hear) {
  addEventListener("message", ({ source, origin, data }) => {
    const name = origin === location.origin && data?.roomgraph && DEVICES.find((one) => frame(one).contentWindow === source);
    if (name) hear(name, data);
  });
}

// Open the page in a frame, as this device of this user: {token, device, device_name, nodes, lang}.
export function open(name, conversationId, stored) {
  for (const [key, value] of Object.entries(stored)) {
    sessionStorage.setItem(`roomgraph.${name}.${key}`, JSON.stringify(value));
  }
  const address = `/?frame=${name}#c=${conversationId}`;
  // Setting the same address again would only go to its fragment.
  if (frame(name).getAttribute("src") === address) frame(name).contentWindow.location.reload();
  else frame(name).src = address;
}

export const tell = (name, what) => frame(name).contentWindow.postMessage(what, location.origin);

// What a device shows right now; frames are of our own origin.
export const look = (name, what) => [...(frame(name).contentDocument?.querySelectorAll(what) ?? [])];
