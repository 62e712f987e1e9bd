// One conversation's unsent text, kept in step with the person's other devices.

const QUIET_MS = 300;
const AGAIN_MS = 2000;

export class Draft {
  text = "";
  #rev = 0; // the highest that `text` takes account of
  #dirty = false; // edited here and not yet saved
  #saving = false;
  #newer = null; // heard while being edited here
  #timer = 0;

  // `save(text)` resolves with the revision.
  constructor(save, changed) {
    Object.assign(this, { save, changed });
  }

  edit(text) {
    this.text = text;
    this.#dirty = true;
    this.#later(QUIET_MS);
  }

  // The text was sent: empty everywhere, at once.
  clear() {
    this.edit("");
    this.flush();
  }

  // What another device, or the server at catch-up, says.
  hear({ rev, text }) {
    if (rev <= this.#rev) return;
    // An emptied field yields: its text may have been sent while cut off, long before the other was written.
    if (this.#saving || (this.#dirty && this.text)) {
      if (rev > (this.#newer?.rev ?? 0)) this.#newer = { rev, text };
    } else {
      this.#dirty = false;
      this.#rev = rev;
      this.text = text;
      this.changed();
    }
  }

  // The log began anew, and so did the revisions.
  startOver() {
    this.#rev = 0;
    this.#newer = null;
  }

  async flush() {
    clearTimeout(this.#timer);
    if (!this.#dirty || this.#saving) return;
    this.#saving = true;
    this.#dirty = false;
    try {
      this.#rev = Math.max(this.#rev, await this.save(this.text));
    } catch (error) {
      this.#dirty ||= error.retryable;
    }
    this.#saving = false;
    const newer = this.#newer;
    if (this.#dirty) return this.#later(AGAIN_MS);
    this.#newer = null;
    if (newer) this.hear(newer);
  }

  #later(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), delay);
  }
}
