// One conversation's unsent text, kept in step with the person's other devices and tabs.

const QUIET_MS = 300;
const AGAIN_MS = 2000;

export class Draft {
  text = "";
  #epoch; // in which revisions count
  #rev = 0; // the highest that `text` includes
  #dirty = false; // edited here and not yet saved
  #saving = false;
  /** @type {{rev: number, text: string} | null} came from elsewhere while being edited here */
  #newer = null;
  /** @type {string | null} what the server has, as far as this client knows; null: that is uncertain */
  #known = "";
  #timer = 0;

  /**
   * @param {(text: string) => Promise<number>} save resolves with the revision
   * @param {() => void} changed
   * @param {(kept: import("./types.js").KeptDraft | null) => void} keep keeps what is not saved yet for a reload, or forgets it
   * @param {() => boolean} live the client is not closed
   */
  constructor(save, changed, keep = (_kept) => {}, live = () => true) {
    this.save = save;
    this.changed = changed;
    this.keep = keep;
    this.live = live;
  }

  /**
   * What was kept before a reload, unless something was typed since.
   * @param {import("./types.js").KeptDraft | null | undefined} kept
   */
  restore(kept) {
    if (!kept || this.#dirty) return;
    this.#epoch ??= kept.epoch;
    if (this.#epoch === kept.epoch) this.#rev = Math.max(this.#rev, kept.rev);
    this.#known = null;
    this.edit(kept.text);
    this.changed();
  }

  edit(text) {
    this.text = text;
    this.#dirty = true;
    this.keep({ text, rev: this.#rev, epoch: this.#epoch });
    this.#later(QUIET_MS);
  }

  // The text was sent: empty everywhere, at once.
  clear() {
    if (!this.text && !this.#dirty) return;
    this.edit("");
    this.flush();
  }

  // Another session's draft, the server's at catch-up, or the echo of this one's, known by its ack.
  onRemote({ rev, text }) {
    if (rev <= this.#rev) return;
    this.#known = text;
    // An emptied field gives way: its text may have been sent, offline, long before the other was written.
    if (this.#saving || (this.#dirty && this.text)) {
      if (rev > (this.#newer?.rev ?? 0)) this.#newer = { rev, text };
    } else {
      this.#dirty = false;
      this.#rev = rev;
      this.text = text;
      this.keep(null);
      this.changed();
    }
  }

  // With a new epoch revisions start over.
  startOver(epoch) {
    if (this.#epoch !== undefined && this.#epoch !== epoch) {
      this.#rev = 0;
      this.#newer = this.#known = null;
    }
    this.#epoch = epoch;
  }

  async flush() {
    clearTimeout(this.#timer);
    if (!this.#dirty || this.#saving || !this.live()) return;
    this.#dirty = false;
    if (this.text !== this.#known) await this.#save(this.text);
    if (this.#dirty) return this.#later(AGAIN_MS);
    this.keep(null);
    const newer = this.#newer;
    this.#newer = null;
    if (newer) this.onRemote(newer);
  }

  async #save(text) {
    this.#saving = true;
    this.#known = null;
    try {
      this.#rev = Math.max(this.#rev, await this.save(text));
      this.#known = text;
    } catch (error) {
      this.#dirty ||= error.retryable;
      this.#known = null;
    }
    this.#saving = false;
  }

  #later(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), delay);
  }
}
