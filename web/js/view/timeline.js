// The open conversation's log on the screen: a stretch of the loaded entries, at its end unless scrolled up.

import { $, focusField, show } from "../dom.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { state } from "../state.js";
import { byOthers, keyOf, lines } from "./entries.js";

const NEAR = 48; // px: as good as at the end
const EARLY = 900; // px from its end at which the stretch is moved
const STRETCH = 240; // entries drawn, however many are loaded; more where few of them are current
const STEP = 60; // entries by which it is moved

let view;

export const begin = ({ client: { connection, outbox } }) => (view = timeline({ connection, outbox, stop: (c, run) => c.stop(run) }));

export const draw = () => view.draw();
export const toEnd = () => view.toEnd();
export const reveal = (entry) => view.reveal(entry);

// `able`: {connection, outbox, stop}
function timeline(able) {
  const log = $("log");
  const scroller = $("scroller");
  let c = null;
  let low; // the stretch begins with this seq
  let size; // and is so many entries long
  let drawn; // the last entry when it was drawn
  let read; // and when the person was at the end
  let divider; // the one that was scrolled to, or need not be
  let atEnd;
  let top; // where the person was
  let tall; // and the log then

  const headOf = () => c.entries.at(-1)?.seq ?? 0;
  const holdsEnd = () => !(c.shown.at(-1)?.seq >= low + size);
  const isLive = () => !c.aside && holdsEnd(); // the stretch holds the newest entry
  const since = (seq) => c.entries.slice(Math.max(0, seq + 1 - c.entries[0]?.seq)).filter((entry) => byOthers(entry) && c.isCurrent(entry));
  const below = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
  const note = () => ([top, tall] = [scroller.scrollTop, scroller.scrollHeight]);
  // Whether the person has scrolled up since; in a taller window the log moves by itself.
  const left = () => scroller.scrollTop < Math.min(top, tall - scroller.clientHeight) - 1 && below() > NEAR;
  const keepEnd = () => {
    if (left()) atEnd = false;
    goToEnd();
  };
  const goToEnd = () => {
    if (!atEnd) return;
    scroller.scrollTop = scroller.scrollHeight;
    note();
  };

  function draw() {
    if (c !== state.open) {
      show(log, []);
      if (c) c.aside = null;
      c = state.open;
      low = Infinity;
      size = STRETCH;
      drawn = divider = read = null;
      atEnd = true;
      top = 0;
    }
    if (!c?.loaded) return;
    // A person at the end is taken to the first message of others that was missed, once for each divider.
    const { after, upTo } = c.divider ?? {};
    const missed = (entry) => entry.seq > after && entry.seq <= upTo && byOthers(entry);
    const begins = atEnd && c.divider !== divider && c.entries.find((entry) => missed(entry) && c.isCurrent(entry));
    if (begins || !atEnd || !(headOf() < upTo)) ({ divider } = c);
    if (begins) {
      low = Math.min(low, begins.seq - 5);
      atEnd = false;
    }
    paint();
    if (begins) {
      log.querySelector(".news")?.scrollIntoView();
      atEnd = isLive() && below() < NEAR;
      note();
    }
    const content = lazy.entryContent.loaded;
    content?.announce(c, drawn && since(drawn).at(-1)?.data);
    drawn = headOf();
    const stopped = !c.stream.current;
    if (stopped && document.activeElement === $("stop")) focusField();
    $("stop").hidden = stopped;
    content?.stream(log, keepEnd);
    settle();
  }

  // Show the stretch; what is in sight keeps its place.
  function paint() {
    const first = c.shown[0]?.seq ?? 1;
    const head = c.shown.at(-1)?.seq ?? 0;
    keepEnd(); // what is changed below may move the log
    if (atEnd && !isLive()) [low, size] = [head, STRETCH];
    low = Math.max(first, Math.min(low, head - STEP));
    const held = log.contains(document.activeElement);
    const inSight = (node) => node.matches(".message") && node.offsetTop + node.offsetHeight > scroller.scrollTop;
    const anchor = !atEnd && [...log.children].find(inSight);
    const stood = anchor?.offsetTop;
    show(log, lines(c, c.shown.slice(low - first, low - first + size), isLive(), { ...able, toEnd }));
    if (held && !log.contains(document.activeElement)) scroller.focus({ preventScroll: true });
    if (anchor?.isConnected) scroller.scrollTop += anchor.offsetTop - stood;
    goToEnd();
  }

  // Move the stretch to where the person is. Where it would turn back it becomes longer, so this ends.
  function move() {
    for (let went = 0, way; ; went = way) {
      if (scroller.scrollTop < EARLY && low > c.shown[0].seq) way = -STEP;
      else if (!holdsEnd() && below() < EARLY) way = STEP;
      else return;
      low += way;
      if (way === -went) [low, way] = [Math.min(low, low - way), 0];
      if (!way || (way < 0 && atEnd && !isLive())) size += STEP;
      paint();
    }
  }

  // What is read where the person is, and what is to be loaded next.
  function settle() {
    if (!c?.entries.length || !scroller.clientHeight) return;
    move();
    if (atEnd || read === null) read = headOf();
    const n = since(read).length;
    $("to-end").hidden = atEnd;
    $("away").textContent = n ? t("missed", { n }) : t("toEnd");
    // What fails is tried again at the next change or scroll.
    if (atEnd && c.head > c.read && document.visibilityState === "visible") c.markRead().catch(() => {});
    // Before the entries have their content they are low, and the end seems near the beginning.
    const early = lazy.entryContent.loaded && scroller.scrollTop < EARLY;
    if (early && low === c.shown[0].seq && able.connection.ready) c.loadBefore().catch(() => {});
    if (c.aside && holdsEnd() && below() < EARLY) c.loadAfter().catch(() => {});
  }

  function toEnd() {
    atEnd = true;
    top = 0; // wherever the person was
    divider = c?.divider;
    if (c?.aside) {
      c.showLatest();
      low = Infinity;
    }
    draw();
  }

  // The node of an entry, in sight.
  function reveal(entry) {
    atEnd = false;
    if (entry.seq < low || entry.seq >= low + size) low = entry.seq - STEP;
    draw();
    const node = log.shown.get(keyOf(entry))?.node;
    node?.scrollIntoView({ block: "center" });
    atEnd = isLive() && below() < NEAR;
    note();
    settle();
    return node;
  }

  scroller.onscroll = () => {
    atEnd = atEnd ? !left() : isLive() && below() < NEAR;
    note();
    settle();
  };
  const sizes = new ResizeObserver(keepEnd);
  for (const node of [scroller, log]) sizes.observe(node);
  document.addEventListener("visibilitychange", settle);
  $("to-end").onclick = toEnd;
  return { draw, toEnd, reveal };
}
