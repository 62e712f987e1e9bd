// Parts that are no words: images, files, structured output, and the sources of an answer.

import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { sizeOf } from "./bytes.js";
import { link } from "./markdown.js";
import { table } from "./values.js";

const SHOWABLE = /^(https?:|data:image\/(png|jpeg|gif|webp)[;,])/i; // never SVG, which may hold scripts
const ON_THE_WEB = /^https?:/i;

const hostOf = (url) => (URL.canParse(url) ? new URL(url).host : "");
// Never an address that is not for the web: a link would lead there.
const download = (url, name) => Object.assign(h("a"), { href: url, download: name }).click();

// What kind of file it is: the ending of its name, otherwise what its type says to people.
export function kindOf(name, mime = "") {
  const [, ending] = /[^.]\.([\p{L}\p{N}]{1,8})$/u.exec(name ?? "") ?? [];
  const [, said] = /^[a-z]+\/(?:x-)?([a-z0-9]{2,5})\b(?![.+-])/i.exec(mime) ?? [];
  return (ending ?? (/^(plain|octet)$/.test(said) ? "" : (said ?? ""))).toUpperCase();
}

function image({ url = "", name, mime_type, size, omitted }) {
  if (omitted || !SHOWABLE.test(url)) return file({ url, name, mime_type, size, omitted }, t("image"));
  const words = name || t("image");
  const save = url.startsWith("data:") && (() => download(url, words));
  const node = fill({ is: "picture", enlarge: () => enlarge(url, words, save), name });
  const picture = node.querySelector("img");
  Object.assign(picture, { alt: words, loading: "lazy", referrerPolicy: "no-referrer" });
  picture.onerror = () => node.replaceWith(file({ url, name, mime_type, lost: true }, t("image")));
  picture.src = url;
  return node;
}

// `save`: of a file that is ours to give; otherwise it is said where the image lies.
export function enlarge(url, words, save) {
  const at = !save && hostOf(url);
  const dialog = fill({ is: "lightbox", name: [h("bdi", words)], where: at && [fill({ is: "link", set: { href: url }, text: [at] })], save, close: () => dialog.close() });
  Object.assign(dialog.querySelector("img"), { alt: words, referrerPolicy: "no-referrer", src: url });
  dialog.ariaLabel = words;
  dialog.onclick = ({ target }) => target === dialog && dialog.close();
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

function file({ url = "", name, mime_type, size, omitted, lost }, kind = t("file")) {
  const web = ON_THE_WEB.test(url) && URL.canParse(url);
  const words = name || (web && decoded(url)) || kind;
  const about = [web && hostOf(url), kindOf(name || decoded(url), mime_type), omitted && t("omitted", { size: sizeOf(size) }), lost && t("imageLost"), !url && !omitted && t("later")];
  return fill({
    is: "file",
    name: web ? [fill({ is: "link", set: { href: url }, text: [words] })] : [words],
    about: about.filter(Boolean).join(" · "),
    save: !web && url.startsWith("data:") && (() => download(url, words)),
  });
}

function decoded(url) {
  try {
    return decodeURIComponent(new URL(url).pathname.split("/").at(-1));
  } catch {
    return "";
  }
}

export const kinds = {
  image,
  file: (data) => file(data),
  data: ({ value }) => table(value ?? null),
};

// A numbered list; what is cited twice is one source.
export function sources(citations) {
  const all = [...new Map(citations.map((one) => [JSON.stringify([one.url, one.title, one.text]), one])).values()];
  const item = ({ url = "", title, text }) => {
    const words = title || hostOf(url) || text || url;
    const node = h("li", ...(ON_THE_WEB.test(url) ? [link(url, [words])] : [h("bdi", words)]));
    if (text && text !== words) node.append(Object.assign(h("q", text), { className: "quiet", dir: "auto" }));
    return node;
  };
  return fill({ is: "sources", n: [`${t("sources")} · ${all.length}`], list: all.map(item) });
}
