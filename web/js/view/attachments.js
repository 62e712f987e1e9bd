// Files that go with the next message: taken by drop, paste or button, uploaded at once, shown above the field.

import { $, show, toast } from "../dom.js";
import { explain, t } from "../i18n.js";
import { changed, onChange, state } from "../state.js";
import { sizeOf } from "./bytes.js";

const MOST = 10; // of a message

const lists = new WeakMap(); // conversation -> its files: {key, name, size, done (0..1), file_id, error, ends}
let client;
let keys = 0;

const of = (c) => lists.get(c) ?? [];

export const filesOf = of;

export function begin(page) {
  ({ client } = page);
  const { field } = page;
  const picker = $("pick-files");
  picker.onchange = () => {
    take(picker.files);
    picker.value = "";
  };
  $("attach").onclick = () => picker.click();
  const chat = $("chat");
  const showDrop = (over) => chat.classList.toggle("drop", over);
  const carriesFiles = ({ dataTransfer }) => state.features.includes("files") && state.open && dataTransfer?.types.includes("Files");
  chat.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    showDrop(true);
  });
  chat.addEventListener("dragleave", ({ relatedTarget }) => showDrop(chat.contains(relatedTarget)));
  chat.addEventListener("drop", (event) => {
    showDrop(false);
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  onChange(draw);
  onChange(() => field.check());
}

// Take files into the open conversation's next message.
export function take(files) {
  const c = state.open;
  if (!c) return;
  const list = of(c);
  lists.set(c, list);
  const limit = client.limits.file_bytes;
  for (const file of files) {
    if (list.length >= (client.limits.files ?? MOST)) toast(t("tooManyFiles", { n: client.limits.files ?? MOST }));
    else if (limit && file.size > limit) toast(t("fileTooLarge", { name: file.name, size: sizeOf(limit) }));
    else upload(c, list, file);
  }
  $("text").focus();
  changed();
}

async function upload(c, list, file) {
  const ends = new AbortController();
  const item = { key: `file ${++keys}`, name: file.name || t("file"), size: file.size, done: 0, file_id: null, error: "", ends };
  list.push(item);
  const progress = (part) => {
    item.done = part;
    changed();
  };
  try {
    ({ file_id: item.file_id } = await c.upload(file, { name: item.name, progress, signal: ends.signal }));
  } catch (error) {
    item.error = error.code === "unavailable" ? t("uploadFailed") : explain(error);
  }
  changed();
}

function remove(c, item) {
  item.ends.abort();
  lists.set(c, of(c).filter((one) => one !== item));
  changed();
}

// What goes with the message: ids; null while files are still on their way, or could not be taken.
export const idsOf = (c) => (of(c).every(({ file_id }) => file_id) ? of(c).map(({ file_id }) => file_id) : null);

export const hasFailed = (c) => of(c).some(({ error }) => error);

export const clear = (c) => lists.delete(c);

function draw() {
  const c = state.open;
  $("attach").hidden = !state.features.includes("files");
  const list = c ? of(c) : [];
  $("attached").hidden = !list[0];
  show($("attached"), list.map((item) => ({
    is: "attached",
    key: item.key,
    set: { className: item.error && "failed" },
    name: item.name,
    about: item.error || (item.file_id ? sizeOf(item.size) : t("uploading", { percent: Math.round(100 * item.done) })),
    remove: () => remove(c, item),
  })));
}
