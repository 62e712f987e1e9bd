// What people do in and with a conversation beside talking: files, reactions, search, settings, members, its place in the list.

import { change } from "./change.js";
import { wait } from "./wait.js";

const TOGETHER_MS = 200; // members that come and go
const EARLY_MS = 5000; // before its end an address is asked for again

const addresses = new WeakMap(); // client -> Map: file id -> {url: a path, until}

/** A request that changes something. */
export const set = ({ connection }, c, event, fields = {}) => change(connection, event, { conversation_id: c.id, ...fields });

export const search = ({ connection }, c, query, { before = null, limit = 20 } = {}) =>
  connection.ask(c, "message:search", { query, before, limit });

export async function loadMembers(client, c) {
  const { members } = await client.connection.ask(c, "members:list");
  c.members = members.map((member) => ({ ...member, name: client.nameOf(member.user_id) }));
  client.changed(c);
  return c.members;
}

const due = new Set(); // conversations whose members are to be read again

// Once for many that come and go.
export async function reloadMembersSoon(client, c) {
  if (due.has(c)) return;
  due.add(c);
  await wait(TOGETHER_MS);
  due.delete(c);
  await loadMembers(client, c).catch(() => {}); // the next view asks again
}

export function setOnline({ conversations }, { user_id, online }) {
  const changes = (member) => member.user_id === user_id && member.online !== online;
  for (const c of conversations.values()) {
    if (c.members?.some(changes)) c.members = c.members.map((one) => (changes(one) ? { ...one, online } : one));
  }
}

// Where it is in this user's list; shown at once.
export async function arrange(client, c, fields) {
  const { pinned, archived } = c;
  const show = (known) => {
    Object.assign(c, known);
    client.changed(c);
  };
  show(fields);
  try {
    const ack = await set(client, c, "list:set", fields);
    show({ pinned: ack.pinned, archived: ack.archived });
    return ack;
  } catch (error) {
    show({ pinned, archived });
    throw error;
  }
}

export async function upload(client, c, file, { name = file.name || "file", progress = null, signal = null } = {}) {
  const bearer = await client.askToken();
  const url = `${client.connection.route.url}/api/conversations/${encodeURIComponent(c.id)}/files?name=${encodeURIComponent(name)}`;
  const headers = { "Content-Type": file.type || "application/octet-stream", ...(bearer && { Authorization: `Bearer ${bearer}` }) };
  const post = progress && globalThis.XMLHttpRequest ? postTelling : postPlainly;
  const { ok, answer } = await post(url, headers, file, signal, progress);
  if (!ok || !answer?.file_id) throw failure(answer?.error);
  return answer;
}

const failure = ({ code = "unavailable", message = "The file could not be uploaded.", retryable = true, details = undefined } = {}) =>
  Object.assign(new Error(message), { code, retryable, details });

async function postPlainly(url, headers, body, signal) {
  const response = await fetch(url, { method: "POST", headers, body, signal }).catch((error) => {
    throw signal?.aborted ? error : failure();
  });
  return { ok: response.ok, answer: await response.json().catch(() => null) };
}

// Unlike fetch, it tells how far it is.
function postTelling(url, headers, body, signal, progress) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => progress(loaded / total);
    request.onload = () => done({ ok: request.status < 300, answer: request.response });
    request.onerror = () => fail(failure());
    request.onabort = () => fail(signal.reason);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    if (signal?.aborted) fail(signal.reason);
    else request.send(body);
  });
}

// It is of the node of this moment.
export async function fileUrl(client, c, file_id) {
  const { connection } = client;
  if (!addresses.has(client)) addresses.set(client, new Map());
  const known = addresses.get(client);
  let address = known.get(file_id);
  if (!address || address.until < performance.now() + EARLY_MS) {
    const { url, expires_in } = await connection.ask(c, "file:link", { file_id });
    address = { url, until: performance.now() + 1000 * expires_in };
    known.set(file_id, address);
  }
  return connection.route.url + address.url;
}
