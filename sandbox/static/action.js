// What a click asks the sandbox for. Nothing is drawn before the sandbox tells that it is so.

import { signal } from "@preact/signals";
import { useId } from "preact/hooks";
import { html } from "htm/preact";

import { lateS } from "./store.js";
import { hide } from "./masking.js";

/** The sandbox takes no more, seconds. */
const LATE_MAX_S = 3600;

/** How long it stands there that something worked, milliseconds; what did not work stands until the next click. */
const SAID_MS = 5000;

/** What came of the last click; `isBad` when it did not work. */
export const outcome = signal({ text: "", isBad: false });
outcome.subscribe((said) => {
  if (said.text && !said.isBad) {
    setTimeout(() => {
      if (outcome.value === said) {
        outcome.value = { text: "", isBad: false };
      }
    }, SAID_MS);
  }
});

/**
 * Asks one of the sandbox's own routes.
 *
 * @param {string} path What follows `/sandbox`.
 * @param {object} body
 * @param {string} [done] What is said when it worked; nothing where the page shows it anyway.
 * @returns {Promise<object | null>} The answer; null when it did not work.
 */
export async function ask(path, body = {}, done = "") {
  try {
    const response = await fetch(`./sandbox${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    outcome.value = response.ok
      ? { text: done, isBad: false }
      : { text: `That did not work: ${answer.error}`, isBad: true };
    return response.ok ? answer : null;
  } catch {
    outcome.value = { text: "That did not work: the sandbox does not answer.", isBad: true };
    return null;
  }
}

/**
 * A button that stays where it is: when it can't be used it says why.
 *
 * @param {{ label: string, about?: string, cannot?: string, class?: string, onAct: () => void }} props
 *   `about`: whom or what it is for, said to those who only listen; `cannot`: why not, empty if it can.
 */
export function Act({ label, about = "", cannot = "", class: name = "", onAct }) {
  const id = useId();
  return html`<div class="act">
    <button
      type="button"
      class=${name}
      aria-label=${about ? `${label}: ${hide(about)}` : null}
      aria-disabled=${cannot ? "true" : null}
      aria-describedby=${id}
      onClick=${() => cannot || onAct()}
    >
      ${label}
    </button>
    <small id=${id}>${cannot}</small>
  </div>`;
}

/** How late is late: the same for everything that can be late. */
export function Late() {
  return html`<label class="late">
    late by
    <input
      type="number"
      min="0"
      max=${LATE_MAX_S}
      step="any"
      value=${lateS.value}
      onChange=${({ target }) => {
        lateS.value = Math.min(LATE_MAX_S, Math.max(0, Number(target.value) || 0));
        target.value = lateS.value;
      }}
    />
    s
  </label>`;
}

/** The line that says what came of a click. */
export function Outcome() {
  const { text, isBad } = outcome.value;
  return html`
    <p role="status" class=${text && !isBad ? "outcome" : "unseen"}>${isBad ? "" : hide(text)}</p>
    <p role="alert" class=${isBad ? "outcome bad" : "unseen"}>${isBad ? hide(text) : ""}</p>
  `;
}
