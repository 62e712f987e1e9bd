// Entries that the log holds shortened: the whole is read page by page; and long texts, drawn piece by piece.

import { copy } from "../clipboard.js";
import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { changed } from "../state.js";
import { sizeOf } from "./bytes.js";

const PAGE_BYTES = 65_536;
const AT_ONCE = 4; // pages on their way
const BY_ITSELF = 8; // so many pages are read when the entry comes into view
const PIECE = 16_000; // characters in a node
const SLICE_MS = 8; // of drawing in each frame

const reading = new WeakMap(); // entry -> promise of its whole data
const had = new WeakMap(); // entry -> the texts of its pages that were read; null: on its way
const boxes = new WeakMap(); // entry -> what is shown below it

// The whole data of an entry, which it has from then on.
export function whole(connection, c, entry, progress = () => {}) {
  if (!reading.has(entry)) {
    const done = read(connection, c, entry, progress);
    reading.set(entry, done);
    done.catch(() => reading.delete(entry));
  }
  return reading.get(entry);
}

async function read(connection, c, entry, progress) {
  const { seq, epoch, pages } = entry;
  const texts = had.get(entry) ?? Array.from({ length: pages });
  had.set(entry, texts); // what was read stays when a request fails
  let failed = false;
  const next = async () => {
    for (let page; !failed && (page = texts.indexOf(undefined)) >= 0; progress(texts.filter((text) => text != null).length / pages)) {
      texts[page] = null;
      try {
        const answer = await connection.ask(c, "entry:read", { seq, page });
        if (answer.epoch !== epoch) throw Object.assign(new Error(), { code: "not_found", message: t("lost") });
        texts[page] = answer.text;
      } catch (error) {
        texts[page] = undefined;
        failed = true;
        throw error;
      }
    }
  };
  // Only when none is on its way may it be tried again.
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, next));
  const end = ends.find(({ reason }) => reason);
  if (end) throw end.reason;
  had.delete(entry);
  entry.data = JSON.parse(texts.join(""));
  delete entry.pages;
  changed();
  return entry.data;
}

// Offer the rest of an entry below what is shown of it.
export function offer(place, connection, c, entry) {
  if (!entry.pages) return;
  const box = boxes.get(entry) ?? offered(connection, c, entry);
  boxes.set(entry, box);
  place.replaceChildren(box);
}

function offered(connection, c, entry) {
  const all = () => {
    box.classList.add("loading");
    const progress = (part) => {
      box.querySelector("progress").value = part;
      box.querySelector("span").textContent = t("loadingAll", { percent: Math.floor(100 * part) });
    };
    progress(0);
    return whole(connection, c, entry, progress).catch((error) => {
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
