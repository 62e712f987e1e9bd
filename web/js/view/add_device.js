// Adds a device: a link that signs it in once, also as a QR code for its camera.

import { encode } from "../../vendor/uqr.js";
import { change } from "../../sdk/src/change.js";
import { copy, publicAddress } from "../clipboard.js";
import { $, onClick, toast, write } from "../dom.js";
import { t } from "../i18n.js";
import { onChange, state } from "../state.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 2; // modules of light around the code
const LINKED = /^d-[0-9a-f]{16}$/; // what the server calls devices that come by a link
const OWN_MACHINE = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/; // no other device can open it

let connection;
let link = null; // {code, until}
let ticking;

export function begin({ client }) {
  ({ connection } = client);
  onClick({
    "link-device": make,
    "copy-device-link": () => copy(addressOf(link.code), t("copied")),
    unlink: withdraw,
  });
  // A closed panel shows nobody the code.
  $("mine").addEventListener("toggle", ({ newState }) => newState === "closed" && link && withdraw());
  let known = new Set();
  onChange(() => {
    const ids = state.devices.map((one) => one.device_id).filter((id) => LINKED.test(id));
    if (link && ids.some((id) => !known.has(id))) confirmUse();
    known = new Set(ids);
    $("add-device").hidden = !state.features.includes("device_links");
  });
}

const addressOf = (code) => `${publicAddress()}/#device=${encodeURIComponent(code)}`;

async function make() {
  const { code, expires_in } = await change(connection, "device:link", {});
  link = { code, until: performance.now() + 1000 * expires_in };
  if (!$("mine").matches(":popover-open")) return withdraw(); // closed meanwhile
  draw(addressOf(code));
  tick();
  const unreachable = OWN_MACHINE.test(new URL(publicAddress()).hostname);
  $("qr").toggleAttribute("hidden", unreachable);
  write({ "link-how": t(unreachable ? "linkHere" : "linkHow") });
  $("link-device").hidden = true;
  $("linking").hidden = false;
  $("copy-device-link").focus();
}

// Resolves with whether it could still be used.
async function withdraw() {
  const { code } = link;
  end();
  return (await change(connection, "device:unlink", { code })).withdrawn;
}

// A device has come by a link: by this one, unless it could still be used.
async function confirmUse() {
  if (!(await withdraw())) toast(t("deviceAdded"));
}

function end() {
  link = null;
  clearInterval(ticking);
  $("linking").hidden = true;
  $("link-device").hidden = false;
}

function tick() {
  clearInterval(ticking);
  const show = () => {
    const left = Math.ceil((link.until - performance.now()) / 1000);
    if (left <= 0) return end();
    write({ "link-left": t("linkLeft", { time: `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` }) });
  };
  ticking = setInterval(show, 1000);
  show();
}

// Dark on light also where the page is dark: some cameras read nothing else.
function draw(text) {
  const { data, size } = encode(text, { ecc: "M", border: MARGIN });
  const path = document.createElementNS(SVG, "path");
  const squares = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
  path.setAttribute("d", squares.join(""));
  $("qr").setAttribute("viewBox", `0 0 ${size} ${size}`);
  $("qr").replaceChildren(path);
}
