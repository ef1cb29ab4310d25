// Text from outside (names, addresses, reasons), so that a reader sees all that is in it and nothing happens to the page.

import { html } from "htm/preact";

// Control and format characters, halves of characters, what nobody has assigned, and line and paragraph separators:
// they turn text around, hide it, or end a line. Of spaces only the plain one is seen for what it is.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

/** How a letter that can't be seen is spelt: `\x1b`, `\u202e`, `\U000e0001`. */
function spelt(letter) {
  const code = letter.codePointAt(0);
  const [mark, digits] = code < 0x100 ? ["\\x", 2] : code < 0x10000 ? ["\\u", 4] : ["\\U", 8];
  return mark + code.toString(16).padStart(digits, "0");
}

/**
 * A value from outside as plain text, for attributes, titles and what is copied to be read.
 *
 * @param {unknown} value Anything; nothing at all (null, undefined) becomes empty.
 * @returns {string}
 */
export function printable(value) {
  return String(value ?? "").replace(UNSEEN, spelt);
}

/**
 * A value from outside as an element: what had to be spelt stands out, and the text keeps its direction to itself.
 *
 * @param {{ value: unknown, class?: string }} props
 */
export function Text({ value, class: name }) {
  const text = String(value ?? "");
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (found.index > from) {
      parts.push(text.slice(from, found.index));
    }
    parts.push(html`<span class="spelt">${spelt(found[0])}</span>`);
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return html`<bdi class=${name}>${parts}</bdi>`;
}

/**
 * Names in a sentence: "a, b and c".
 *
 * @param {string[]} names
 * @returns {string}
 */
export function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/**
 * A count with its noun: "1 call", "3 calls".
 *
 * @param {number} count
 * @param {string} one The noun for one.
 * @param {string} [many] The noun for several; by default with an s.
 * @returns {string}
 */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
