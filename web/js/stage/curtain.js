// Screens show a message when its dot arrives: the drawing is slower than the messages, and both tell one story.
// What is measured is when a page received a message, not when it came into sight.

const LIMIT_MS = 2500; // no dot comes: the trace has lost it
const MOST = 8; // in a burst nobody follows single dots: screens would be empty
const QUIET_MS = 400; // after which it is over

export class Curtain {
  #covers = new Map(); // device -> {page, sheet, seqs: Map(seq -> timer), at, burst}

  // `documentOf(device)`: the document of its page at this moment.
  constructor(documentOf) {
    this.documentOf = documentOf;
  }

  cover(device, seq) {
    const page = this.documentOf(device);
    const now = performance.now();
    const before = this.#covers.get(device);
    if (before?.page === page) {
      if (before.seqs.size === MOST) {
        before.burst = true;
        this.lift(device, Infinity);
      }
      if (now - before.at > QUIET_MS) before.burst = false;
      before.at = now;
      if (before.burst) return;
    }
    const { CSSStyleSheet } = page.defaultView;
    let cover = this.#covers.get(device);
    if (cover?.page !== page) {
      cover = { page, sheet: new CSSStyleSheet(), seqs: new Map(), at: now, burst: false };
      page.adoptedStyleSheets = [...page.adoptedStyleSheets, cover.sheet];
      this.#covers.set(device, cover);
    }
    cover.seqs.set(seq, setTimeout(() => this.lift(device, seq), LIMIT_MS));
    this.#apply(cover);
  }

  // Show a message, and those before it, whose dots may have been drawn as one.
  lift(device, seq) {
    const cover = this.#covers.get(device);
    for (const [covered, timer] of cover?.seqs ?? []) {
      if (covered > seq) continue;
      clearTimeout(timer);
      cover.seqs.delete(covered);
      this.#apply(cover);
    }
  }

  #apply({ sheet, seqs }) {
    const covered = [...seqs.keys()].map((seq) => `[data-seq="${seq}"]`).join();
    sheet.replaceSync(covered && `${covered} { visibility: hidden }`);
  }
}
