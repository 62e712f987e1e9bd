// The round picture of a person, an agent or a conversation: letters of its name, and a hue that stays the same.

const CJK = /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}/u;

// Of a Chinese name the last two characters, since family names are shared; otherwise the initials of two words.
export function letters(name) {
  const words = name.trim().split(/[\s_.:-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const [first = name] = words;
  const chars = [...first].filter((char) => /[\p{L}\p{N}]/u.test(char));
  if (CJK.test(chars[0])) return chars.slice(-2).join("");
  const initial = (word) => [...word].find((char) => /[\p{L}\p{N}]/u.test(char)) ?? "";
  return (initial(first) + (words[1] ? initial(words.at(-1)) : "")).toUpperCase() || "?";
}

// A number of degrees, the same for the same id on every device.
export function hueOf(id) {
  let sum = 7;
  for (const char of id) sum = (sum * 31 + char.codePointAt(0)) % 9973;
  return (sum % 24) * 15;
}

export function paint(node, id) {
  node.style.setProperty("--hue", hueOf(id));
  node.classList.add("hued");
}
