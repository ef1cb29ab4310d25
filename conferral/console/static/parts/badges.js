// Badges: each has a word, a shape, and a color, so that none is needed alone.

import { html } from "htm/preact";

import { Text } from "../shared/text.js";

/** The states' shapes, on a 16 by 16 grid. */
const SHAPES = {
  // Two in a line: a bridge.
  bridged: html`<circle cx="3.5" cy="8" r="2.5" /><circle cx="12.5" cy="8" r="2.5" /><path d="M6 8h4" />`,
  // On the way from one to the other.
  converting: html`<path d="M2 8h9M8 4.5 11.5 8 8 11.5" /><path d="M14 3v10" />`,
  // Three around a table.
  conferenced: html`<circle cx="8" cy="3.5" r="2.2" /><circle cx="3.5" cy="12" r="2.2" /><circle cx="12.5" cy="12" r="2.2" />`,
  // One passes to another.
  transferring: html`<path d="M2 5h10M9 2l3 3-3 3M14 11H4M7 8l-3 3 3 3" />`,
  ended: html`<rect x="3.5" y="3.5" width="9" height="9" />`,
};

/**
 * A session's state.
 *
 * @param {{ state: string, phase?: string }} props
 */
export function State({ state, phase = "" }) {
  const shape = SHAPES[state];
  return html`<span class=${`state state-${shape ? state : "unknown"}`}>
    <svg class="shape" viewBox="0 0 16 16" aria-hidden="true">${shape ?? html`<path d="M3 3l10 10M13 3 3 13" />`}</svg>
    <span><${Text} value=${state || "unknown"} />${phase ? html` <${Text} class="phase" value=${phase} />` : null}</span>
  </span>`;
}

/**
 * A session's problem; the text starts with its kind.
 *
 * @param {{ trouble: { rank: number, words: string, attention: boolean } | null }} props
 */
export function Trouble({ trouble }) {
  if (!trouble) {
    return null;
  }
  return html`<span class=${`mark ${!trouble.attention ? "is-plain" : trouble.rank === 1 ? "is-bad" : "is-warn"}`}>
    <svg class="shape" viewBox="0 0 16 16" aria-hidden="true"><path d="M8 2 15 14H1z M8 6.5v3.5M8 11.6v.9" /></svg>
    <span><${Text} value=${trouble.words} /></span>
  </span>`;
}

const OUTCOMES = {
  good: html`<path d="M2.5 8.5 6.5 12.5 13.5 3.5" />`,
  bad: html`<path d="M3 3l10 10M13 3 3 13" />`,
  warn: html`<path d="M8 2v8M8 12.5v1.5" />`,
  plain: html`<circle cx="8" cy="8" r="5.5" />`,
};

/**
 * A good, bad, warning, or plain word.
 *
 * @param {{ kind: "good" | "bad" | "warn" | "plain", children: unknown }} props
 */
export function Mark({ kind, children }) {
  return html`<span class=${`mark is-${kind}`}>
    <svg class="shape" viewBox="0 0 16 16" aria-hidden="true">${OUTCOMES[kind]}</svg><span>${children}</span>
  </span>`;
}

const STATUSES = { done: "good", failed: "bad", rejected: "bad" };

/** Returns the badge kind for a command's status. */
export function kindOfStatus(status) {
  return STATUSES[status] ?? "plain";
}
