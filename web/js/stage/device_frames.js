// The three devices: the chat page itself in frames, each with its own session storage, and what they report.

import { kept } from "../address.js";

export const DEVICES = ["laptop", "phone", "terminal"];

const frame = (name) => document.querySelector(`#${name} iframe`);

// Call onReport(name, report) for each report of a frame.
export function onReports(onReport) {
  addEventListener("message", ({ source, origin, data }) => {
    const name = origin === location.origin && data?.roomgraph && DEVICES.find((one) => frame(one).contentWindow === source);
    if (name) onReport(name, data);
  });
}

// Open the page in a frame, as this device of this user: {token, device, device_name, nodes, lang}.
export function openFrame(name, conversationId, stored) {
  for (const [key, value] of Object.entries(stored)) {
    sessionStorage.setItem(`${kept}.${name}.${key}`, JSON.stringify(value));
  }
  const address = `./?frame=${name}#c=${conversationId}`;
  // Setting the same address again would only move to its fragment.
  if (frame(name).getAttribute("src") === address) frame(name).contentWindow.location.reload();
  else frame(name).src = address;
}

export const command = (name, what) => frame(name).contentWindow.postMessage(what, location.origin);

// What a device shows at this moment; the frames have the stage's origin.
export const query = (name, what) => [...(frame(name).contentDocument?.querySelectorAll(what) ?? [])];
