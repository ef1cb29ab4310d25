// Masks text from outside: escapes control characters and, by default, shows only the last two digits of phone numbers.

import { html } from "htm/preact";

import { printable, Text } from "./shared/text.js";
import { whole } from "./store.js";

/** A number with a plus sign, possibly URL-encoded, or a standalone run of as many digits as numbers have. */
const NUMBERS = /(?:\+|%2B)\d{5,15}|(?<![\w.])\d{10,15}(?![\w.])/gi;

/** Masks phone numbers, unless the user shows them in full. */
function hidden(value) {
  const text = String(value ?? "");
  return whole.value ? text : text.replace(NUMBERS, (found) => `+…${found.slice(-2)}`);
}

/** Returns an outside value as plain text, for attributes and sentences. */
export function hide(value) {
  return printable(hidden(value));
}

/** Returns an outside value as an element. */
export function MaskedText({ value, class: name }) {
  return html`<${Text} value=${hidden(value)} class=${name} />`;
}
