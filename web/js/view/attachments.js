// Files that go with the next message: taken by drop, paste or button, uploaded at once, shown above the field.

import { $, show, toast } from "../dom.js";
import { explain, t } from "../i18n.js";
import { changed, onChange, state } from "../state.js";
import { stored } from "../storage.js";
import { sizeOf } from "./bytes.js";

const MOST = 10; // of a message

const lists = new WeakMap(); // conversation -> its files: {key, name, size, done (0..1), file_id, error, request}
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

function upload(c, list, file) {
  const item = { key: `file ${++keys}`, name: file.name || t("file"), size: file.size, done: 0, file_id: null, error: "" };
  list.push(item);
  // Unlike fetch, it tells how far it is.
  const request = new XMLHttpRequest();
  item.request = request;
  const { url } = client.connection.route;
  request.open("POST", `${url}/api/conversations/${encodeURIComponent(c.id)}/files?name=${encodeURIComponent(item.name)}`);
  request.setRequestHeader("Authorization", `Bearer ${stored.token}`);
  request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
  request.responseType = "json";
  request.upload.onprogress = ({ loaded, total }) => {
    item.done = loaded / total;
    changed();
  };
  request.onload = () => {
    if (request.status < 300 && request.response?.file_id) item.file_id = request.response.file_id;
    else item.error = request.response?.error ? explain(request.response.error) : t("uploadFailed");
    changed();
  };
  request.onerror = () => {
    item.error = t("uploadFailed");
    changed();
  };
  request.send(file);
}

function remove(c, item) {
  item.request.abort();
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
