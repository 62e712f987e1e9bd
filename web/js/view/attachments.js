// Files that go with the next message: taken by drop, paste or button, uploaded at once, shown above the field.

import { $, show, toast } from "../dom.js";
import { explain, t } from "../i18n.js";
import { changed, onChange, state } from "../state.js";
import { sizeOf } from "./bytes.js";

const MOST = 10; // of a message

const lists = new WeakMap(); // conversation -> its files: {key, name, size, done (0..1), file_id, error, waits, ends}
let client;
let keys = 0;
const due = new Set(); // files that are uploaded when the connection is back, of any conversation
let wasReady = true;

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
  const showDrop = (over) => ($("drop").hidden = !over);
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
  onChange(goOn);
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
    else add(c, list, file);
  }
  $("text").focus();
  changed();
}

function add(c, list, file) {
  const item = { c, file, key: `file ${++keys}`, name: file.name || t("file"), size: file.size, ends: new AbortController() };
  list.push(item);
  upload(item);
}

// What fails with the connection is tried again with the next one, and whenever the person likes.
async function upload(item) {
  const { c, file, name, ends } = item;
  due.delete(item);
  Object.assign(item, { done: 0, file_id: null, error: "", again: false, waits: !client.connection.ready });
  changed();
  if (item.waits) return due.add(item);
  const progress = (part) => {
    item.done = part;
    changed();
  };
  try {
    ({ file_id: item.file_id } = await c.upload(file, { name, progress, signal: ends.signal }));
  } catch (error) {
    const { retryable } = error;
    if (retryable && of(c).includes(item)) due.add(item);
    item.waits = retryable && !client.connection.ready;
    if (!item.waits) Object.assign(item, { error: error.code === "unavailable" ? t("uploadFailed") : explain(error), again: retryable });
  }
  changed();
}

function goOn() {
  const { ready } = client.connection;
  if (ready && !wasReady) for (const item of [...due]) upload(item);
  wasReady = ready;
}

function remove(c, item) {
  item.ends.abort();
  due.delete(item);
  lists.set(c, of(c).filter((one) => one !== item));
  changed();
}

// What goes with the message: ids; null while files are still on their way, or could not be taken.
export const idsOf = (c) => (of(c).every(({ file_id }) => file_id) ? of(c).map(({ file_id }) => file_id) : null);

export const hasFailed = (c) => of(c).some(({ error }) => error);

export const waits = (c) => of(c).some((item) => item.waits);

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
    about: item.error || (item.waits ? t("uploadWaits") : item.file_id ? sizeOf(item.size) : t("uploading", { percent: Math.round(100 * item.done) })),
    again: item.again && (() => upload(item)),
    remove: () => remove(c, item),
    dress(node) {
      const button = node.querySelector(".icon");
      button.title = button.ariaLabel = t("removeFile", item);
    },
  })));
}
