// Badges: each has a word, a shape, and a color, so that none is needed alone.

import { html } from "htm/preact";

import { Icon } from "../shared/icon.js";
import { Text } from "../shared/text.js";
import { Sentence } from "../sentences.js";

/** Icons of what a call is, from `kindOf`. */
const ICONS = {
  ringing: "phone-incoming",
  queued: "hourglass",
  talking: "phone-call",
  "on hold": "pause",
  parked: "circle-parking",
  transferring: "phone-forwarded",
  voicemail: "voicemail",
  ended: "phone-off",
};

/**
 * What a call is: an icon, with its word to read or for screen readers alone.
 *
 * @param {{ kind: string, isIcon?: boolean }} props
 */
export function Kind({ kind, isIcon = false }) {
  const name = ICONS[kind] ?? "circle-alert";
  return isIcon ? html`<${Icon} name=${name} word=${kind} />` : html`<span class="kind"><${Icon} name=${name} /><span>${kind}</span></span>`;
}

/** A session's state, for engineers. */
export function State({ state, phase = "" }) {
  return html`<span class=${`state state-${state}`}><${Text} value=${[state || "unknown", phase].filter(Boolean).join(" ")} /></span>`;
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
  return html`<${Mark} kind=${!trouble.attention ? "plain" : trouble.rank === 1 ? "bad" : "warn"}><${Sentence} value=${trouble.words} /><//>`;
}

const OUTCOMES = { good: "circle-check", bad: "x", warn: "triangle-alert", plain: "circle" };

/**
 * A good, bad, warning, or plain word.
 *
 * @param {{ kind: "good" | "bad" | "warn" | "plain", children: unknown }} props
 */
export function Mark({ kind, children }) {
  return html`<span class=${`mark is-${kind}`}><${Icon} name=${OUTCOMES[kind]} /><span>${children}</span></span>`;
}

const STATUSES = { done: "good", failed: "bad", rejected: "bad" };

/** Returns the badge kind for a command's status. */
export function kindOfStatus(status) {
  return STATUSES[status] ?? "plain";
}
