// What an agent says in one message: its parts below one another, each growing by itself.

import { fill, h } from "../dom.js";
import { t, translate } from "../i18n.js";
import { lazy } from "../lazy.js";
import { markdown } from "./markdown.js";

const LONG = 300_000; // characters, more than is streamed; a longer text is shown as plain text

const SAYS = new Set(["text", "reasoning"]);
const GIVEN = new Set(["image", "file", "data"]); // whole at once

// Each kind makes a body and says how it grows.
const text = ({ text }) => {
  const body = fill({ is: "text" });
  if (text.length <= LONG) return { body, grow: markdown(body) };
  lazy.longEntries.load().then(({ fillLong }) => fillLong(body, text));
  return { body, grow() {} };
};

// Folded; drawn when it is opened.
const reasoning = () => {
  const body = fill({ is: "reasoning" });
  const grow = markdown(body.lastElementChild);
  let said = "";
  const draw = () => body.open && grow(said);
  body.ontoggle = draw;
  return { body, grow: (more) => draw((said = more)) };
};

const given = (part) => {
  const body = h("div");
  lazy.partKinds.load().then(({ kinds }) => body.replaceChildren(kinds[part.kind](part.data ?? {})));
  return { body, grow() {} };
};

class View {
  constructor(part) {
    const { kind, speaker, data } = part;
    Object.assign(this, { kind, speaker, data, text: "", long: part.text?.length > LONG });
    const make = { text, reasoning }[kind] ?? given;
    Object.assign(this, make(part));
    this.node = fill({ is: "part", set: { className: `part of-${kind}` }, body: this.body });
  }

  // Whether it shows the beginning of the part.
  fits({ kind, speaker, text, data }) {
    if (kind !== this.kind || speaker !== this.speaker) return false;
    if (GIVEN.has(kind)) return data === this.data || JSON.stringify(data) === JSON.stringify(this.data);
    return text.startsWith(this.text) && text.length > LONG === this.long;
  }

  show({ text, cut }, label, live) {
    if (text !== this.text) this.grow((this.text = text));
    const { firstElementChild: speaker, lastElementChild: note } = this.node;
    const said = cut && live ? t("cut") : "";
    speaker.hidden = !label;
    if (speaker.textContent !== label) speaker.firstElementChild.textContent = label;
    if (note.textContent !== said) note.textContent = said;
    if (!live) translate(this.node); // the language may be another one
  }

  think(now) {
    this.body.dataset.running = now;
    this.body.firstElementChild.textContent = t(now ? "reasoning" : "thought");
  }
}

export class Said {
  node = fill({ is: "said" });
  #views = [];
  #cited = ""; // the citations that are shown
  #waiting = fill({ is: "text" });
  #sources = Object.assign(h("div"), { className: "sources" });

  // `agent`: who needs no label. `waiting`: what is shown before anything is said; without it, all has been said.
  show(parts, { agent, waiting }) {
    const all = parts.map((part) => ({ ...part, speaker: part.speaker || agent }));
    const shown = all.filter(({ kind, text }) => GIVEN.has(kind) || (SAYS.has(kind) && text));
    const had = this.#views;
    this.#views = shown.map((part) => {
      const at = had.findIndex((view) => view.fits(part));
      if (at < 0) return new View(part);
      for (const { node } of had.splice(0, at)) node.remove();
      return had.shift();
    });
    for (const { node } of had) node.remove();
    let place = this.node.firstChild;
    for (const [index, view] of this.#views.entries()) {
      const before = shown[index - 1]?.speaker ?? agent;
      const part = shown[index];
      view.show(part, part.speaker === before ? "" : part.speaker, waiting);
      // Another part of the same speaker has begun: it has thought enough.
      if (part.kind === "reasoning") view.think(Boolean(waiting) && !shown.slice(index + 1).some(({ speaker }) => speaker === part.speaker));
      if (view.node === place) place = place.nextSibling;
      else this.node.insertBefore(view.node, place);
    }
    this.#waiting.dataset.thinking = waiting ?? "";
    if (waiting && !shown[0]) this.node.append(this.#waiting);
    else this.#waiting.remove();
    this.#cite(all.filter(({ kind, data }) => kind === "citation" && data).map(({ data }) => data));
  }

  #cite(citations) {
    const sign = JSON.stringify(citations) + t("sources");
    if (sign === this.#cited) return;
    this.#cited = sign;
    if (!citations[0]) return this.#sources.remove();
    this.node.append(this.#sources);
    lazy.partKinds.load().then(({ sources }) => sign === this.#cited && this.#sources.replaceChildren(sources(citations)));
  }
}
