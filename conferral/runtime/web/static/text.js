// External text (names, addresses, reasons): escaped so that readers see all of it and it can't affect the page.

import { html } from "./html.js";

// Control and format characters, surrogates, unassigned code points, and line and paragraph separators:
// they reverse text, hide it, or end a line. Of the spaces, only the plain one is kept.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

/** Escape an invisible character: `\x1b`, `\u202e`, `\U000e0001`. */
function spelt(letter) {
  const code = letter.codePointAt(0);
  const [mark, digits] = code < 0x100 ? ["\\x", 2] : code < 0x10000 ? ["\\u", 4] : ["\\U", 8];
  return mark + code.toString(16).padStart(digits, "0");
}

/**
 * An external value as escaped plain text, for attributes, titles, and copied text.
 *
 * @param {unknown} value Anything; null and undefined become empty.
 * @returns {string}
 */
export function printable(value) {
  return String(value ?? "").replace(UNSEEN, spelt);
}

/**
 * An external value as an element: escapes are highlighted, and the text's direction is isolated.
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
 * @param {string} one The singular.
 * @param {string} [many] The plural; by default with an s.
 * @returns {string}
 */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
