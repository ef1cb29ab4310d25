// Icons: shapes next to words, or with a word for screen readers alone.

import { html } from "./html.js";

const at = (name) => `url("${new URL(`./vendor/icon-${name}.svg`, import.meta.url)}")`;

/**
 * An icon of `vendor/`.
 *
 * @param {{ name: string, word?: string }} props `word`: what it means, for screen readers and on hover, if no text says it.
 */
export function Icon({ name, word = "" }) {
  const shape = html`<span class="icon" style=${{ "--icon": at(name) }} aria-hidden="true"></span>`;
  return word ? html`<span title=${word}>${shape}<span class="unseen">${word}</span></span>` : shape;
}
