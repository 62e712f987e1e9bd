// How a person is told from others at a glance: a hue and an initial, the same everywhere and at any time.

// Apart from each other, and from the agents' colour (about 340).
const HUES = [20, 45, 75, 105, 135, 165, 205, 230, 255, 280];

export function hueOf(userId) {
  let sum = 0;
  for (const sign of userId) sum = (sum * 31 + sign.codePointAt()) >>> 0;
  return HUES[sum % HUES.length];
}

// Chinese given names are last, and many begin with the same sign (小王, 小李).
export function initialOf(name) {
  const signs = [...name.trim()];
  const sign = /\p{Script=Han}/u.test(signs.at(-1)) ? signs.at(-1) : signs[0];
  return (sign ?? "").toUpperCase();
}

// A title's face: as one begins to read it.
export const titleSign = (title) => ([...title.trim()][0] ?? "").toUpperCase();

// Has words from the right and from the left.
export const isMixed = (title) => /[\u0590-\u08ff\ufb1d-\ufefc]/.test(title) && /[\p{Script=Latin}\p{Script=Han}]/u.test(title);

// Give a face its colours; an agent's has the agents' own.
export function paint(face, id) {
  const agent = id.startsWith("agent:");
  face.classList.toggle("agent", agent);
  face.classList.toggle("hued", !agent);
  face.style.setProperty("--hue", hueOf(id));
}
