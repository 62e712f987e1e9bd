// The files of a message: images as such, others as a card with name and size. They are read by links that expire.

import { fill, h, complain } from "../dom.js";
import { t } from "../i18n.js";
import { sizeOf } from "./bytes.js";
import { enlarge, kindOf } from "./part_kinds.js";

const INLINE = /^image\/(png|jpeg|gif|webp)$/;
const MAX_WIDTH = 384; // px
const MAX_HEIGHT = 288;

export function showFiles(box, _, c, files) {
  box.replaceChildren(...files.map((file) => (INLINE.test(file.mime_type) ? picture(c, file) : card(c, file))));
}

function picture(c, file) {
  const { file_id, name, width, height } = file;
  const node = fill({ is: "picture", enlarge: async () => enlarge(await c.fileUrl(file_id), name, () => download(c, file)) });
  const image = node.querySelector("img");
  image.alt = name;
  if (width && height) {
    // The place is kept, so that nothing moves when the image comes.
    const scale = Math.min(1, MAX_WIDTH / width, MAX_HEIGHT / height);
    Object.assign(image, { width: Math.round(width * scale), height: Math.round(height * scale) });
  }
  image.onerror = () => node.replaceWith(card(c, file, true));
  c.fileUrl(file_id).then(
    (url) => (image.src = url),
    () => image.onerror(),
  );
  return node;
}

function card(c, file, lost) {
  const { name, mime_type, size } = file;
  const about = [kindOf(name, mime_type), sizeOf(size), lost && t("imageLost")].filter(Boolean).join(" · ");
  return fill({ is: "file", name: [h("bdi", name)], about, save: () => download(c, file) });
}

async function download(c, { file_id, name }) {
  try {
    Object.assign(h("a"), { href: await c.fileUrl(file_id), download: name }).click();
  } catch (error) {
    complain(error);
  }
}
