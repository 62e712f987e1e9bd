// Entries that the log holds shortened: the whole is read page by page; and long texts, drawn piece by piece.

import { wholeData } from "../../sdk/src/entry_parts.js";
import { copy } from "../clipboard.js";
import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { changed } from "../state.js";
import { sizeOf } from "./bytes.js";

const PAGE_BYTES = 65_536;
const BY_ITSELF = 8; // so many pages are read when the entry comes into view
const PIECE = 16_000; // characters in a node
const SLICE_MS = 8; // of drawing in each frame

const boxes = new WeakMap(); // entry -> what is shown below it

// The whole data of an entry, which it has from then on.
export async function whole(c, entry, progress) {
  const data = await wholeData(c, entry, progress);
  entry.data = data;
  delete entry.pages;
  changed();
  return data;
}

// Offer the rest of an entry below what is shown of it.
export function offer(place, c, entry) {
  if (!entry.pages) return;
  const box = boxes.get(entry) ?? offered(c, entry);
  boxes.set(entry, box);
  place.replaceChildren(box);
}

function offered(c, entry) {
  const all = () => {
    box.classList.add("loading");
    const progress = (part) => {
      box.querySelector("progress").value = part;
      box.querySelector("span").textContent = t("loadingAll", { percent: Math.floor(100 * part) });
    };
    progress(0);
    return whole(c, entry, progress).catch((error) => {
      box.classList.remove("loading");
      throw error;
    });
  };
  const box = fill({ is: "long", all, label: t("showAll", { size: sizeOf(entry.pages * PAGE_BYTES) }), note: t("shortened") });
  const seen = new IntersectionObserver(([{ isIntersecting }]) => {
    if (!isIntersecting) return;
    seen.disconnect();
    all().catch(() => {});
  });
  if (entry.pages <= BY_ITSELF) seen.observe(box);
  return box;
}

// Show a text of any length in a box of its own that scrolls, without stopping the page.
export function fillLong(body, text) {
  const box = Object.assign(h("div"), { className: "pieces", tabIndex: 0, role: "region", ariaLabel: t("longText") });
  body.replaceChildren(box, fill({ is: "long-end", size: sizeOf(text.length), copy: () => copy(text, t("copied")) }));
  let at = 0;
  const draw = () => {
    const until = performance.now() + SLICE_MS;
    while (at < text.length && performance.now() < until) {
      const line = text.indexOf("\n", at + PIECE);
      const end = line >= 0 && line < at + 2 * PIECE ? line + 1 : whole16(text, at + PIECE);
      box.append(h("div", text.slice(at, end)));
      at = end;
    }
    if (at < text.length) requestAnimationFrame(draw);
    else box.dataset.done = "";
  };
  draw();
}

// Not between the two halves of a character.
const whole16 = (text, at) => at + (/[\uD800-\uDBFF]/.test(text[at - 1] ?? "") ? 1 : 0);
