// The open conversation's log on the screen: a stretch of what is loaded, at its end unless the person scrolled up.

import { $, show } from "./dom.js";
import { byOthers, keyOf, lines } from "./entries.js";
import { t } from "./i18n.js";
import { here } from "./later.js";
import { nameOf, state } from "./state.js";

const NEAR = 48; // px: as good as at the end
const EARLY = 900; // px from its end at which the stretch is moved
const STRETCH = 240; // entries drawn, however many are loaded
const STEP = 60; // entries by which it is moved

// `able`: {outbox, actions, edit}
export function timeline(able) {
  const log = $("log");
  const scroller = $("scroller");
  let c = null;
  let low; // the stretch begins with this seq
  let drawn; // the last entry when it was drawn
  let read; // and when the person was at the end
  let divider;
  let atEnd;
  let top = 0;

  const headOf = () => c.entries.at(-1)?.seq ?? 0;
  const isLive = () => headOf() < low + STRETCH; // the stretch holds the newest entry
  const since = (seq) => c.entries.slice(Math.max(0, seq + 1 - c.entries[0]?.seq)).filter(byOthers);
  const below = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
  const keepEnd = () => {
    // The person may have scrolled since the last event.
    if (scroller.scrollTop < top && below() > NEAR) atEnd = false;
    if (!atEnd) return;
    scroller.scrollTop = scroller.scrollHeight;
    top = scroller.scrollTop;
  };

  function draw() {
    const { open } = state;
    if (c !== open) {
      show(log, []);
      c = open;
      low = Infinity;
      drawn = divider = read = null;
      atEnd = true;
      top = 0;
    }
    if (!c?.loaded) return;
    const first = c.entries[0]?.seq ?? 1;
    const head = headOf();
    const begins = c.divider && c.divider !== divider && atEnd;
    if (begins) low = Math.min(low, c.divider.after - 5);
    else if (atEnd && !isLive()) low = head;
    low = Math.max(first, Math.min(low, head - STEP));

    const held = log.contains(document.activeElement);
    const inSight = (node) => node.matches(".said") && node.offsetTop + node.offsetHeight > scroller.scrollTop;
    const anchor = !atEnd && [...log.children].find(inSight);
    const stood = anchor?.offsetTop;
    show(log, lines(c, c.entries.slice(low - first, low - first + STRETCH), isLive(), able));
    if (held && !log.contains(document.activeElement)) scroller.focus({ preventScroll: true });
    if (anchor?.isConnected) scroller.scrollTop += anchor.offsetTop - stood;
    keepEnd();

    const news = log.querySelector(".news");
    if (news || !c.divider) ({ divider } = c);
    if (news && begins) {
      // The person begins to read there.
      news.scrollIntoView();
      atEnd = below() < NEAR;
    }
    const heard = drawn && since(drawn).at(-1)?.data;
    if (heard) $("heard").textContent = `${heard.name ?? nameOf(heard.user_id)}: ${heard.text.slice(0, 500)}`;
    drawn = head;
    $("stop").hidden = !c.answer.current;
    const names = c.typists.filter((userId) => userId !== state.me).map(nameOf);
    $("typing").textContent = names.length ? t("typing", { names: names.join(", "), n: names.length }) : "";
    here.said?.stream(log, keepEnd);
    settle();
  }

  // What is read where the person is, and what is wanted next.
  function settle() {
    if (!c?.entries.length || !scroller.clientHeight) return;
    if (atEnd || read === null) read = headOf();
    const n = since(read).length;
    $("to-end").hidden = atEnd;
    $("away").textContent = n ? t("missed", { n }) : t("toEnd");
    if (atEnd && c.head > c.read && document.visibilityState === "visible") able.actions.seen(c);
    const first = c.entries[0].seq;
    let way = 0;
    if (scroller.scrollTop < EARLY) {
      if (low === first) able.actions.older(c);
      else if (!atEnd || low - STEP + STRETCH > headOf()) way = -STEP;
    } else if (!isLive() && below() < EARLY) way = STEP;
    if (!way) return;
    low = Math.max(first, low + way);
    draw();
  }

  function toEnd() {
    atEnd = true;
    draw();
  }

  // The node of an entry, drawn if need be.
  function reveal(entry) {
    atEnd = false;
    if (entry.seq < low || entry.seq >= low + STRETCH) low = entry.seq - STEP;
    draw();
    return log.shown.get(keyOf(entry))?.node;
  }

  scroller.onscroll = () => {
    // What grows below the end that was held is not the person's scrolling.
    atEnd = (atEnd && scroller.scrollTop >= top) || (isLive() && below() < NEAR);
    top = scroller.scrollTop;
    settle();
  };
  const sizes = new ResizeObserver(keepEnd);
  for (const node of [scroller, log]) sizes.observe(node);
  document.addEventListener("visibilitychange", settle);
  $("to-end").onclick = toEnd;
  return { draw, toEnd, reveal };
}
