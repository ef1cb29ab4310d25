// Text from outside on this page: control characters are spelt, and of phone numbers only the last two digits are shown
// unless somebody asks for all of them.

import { html } from "htm/preact";

import { printable, Text } from "./shared/text.js";
import { whole } from "./store.js";

/** A number by its plus sign, be it escaped in an address; or as many digits as numbers have, on their own. */
const NUMBERS = /(?:\+|%2B)\d{5,15}|(?<![\w.])\d{10,15}(?![\w.])/gi;

/** The text with its phone numbers as somebody wants them. */
function hidden(value) {
  const text = String(value ?? "");
  return whole.value ? text : text.replace(NUMBERS, (found) => `+…${found.slice(-2)}`);
}

/** A value from outside as plain text, for attributes and sentences. */
export function hide(value) {
  return printable(hidden(value));
}

/** A value from outside as an element. */
export function MaskedText({ value, class: name }) {
  return html`<${Text} value=${hidden(value)} class=${name} />`;
}
