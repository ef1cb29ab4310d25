// The server's sentences about times, and how long something lasted.

import { html } from "htm/preact";

import { Text, printable } from "./shared/text.js";
import { Time, clock, span, toMs } from "./shared/time.js";

/** How long something lasted, or lasts if it has no end. */
export function Lasts({ from, to }) {
  return to ? html`<span>${span(toMs(to) - toMs(from))}</span>` : html`<${Time} at=${from} as="age" />`;
}

/** Times in the server's sentences: ISO 8601, since only the browser knows the local time. */
const TIMES = /(\d{4}-\d\d-\d\dT[\d:.]+Z)/;

/** A sentence of the server with local times, as plain text. */
export function localTimes(text) {
  return printable(text.split(TIMES).map((part, place) => (place % 2 ? clock(part) : part)).join(""));
}

/** A sentence of the server with local times, as an element. */
export function Sentence({ value, class: name }) {
  const parts = value.split(TIMES);
  return html`<span class=${name}>
    ${parts.map((part, place) => (place % 2 ? html`<${Time} at=${part} as="clock" />` : html`<${Text} value=${part} />`))}
  </span>`;
}
