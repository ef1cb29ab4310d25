// Actions: requests to the sandbox from buttons. The page shows a result only once the sandbox reports it.

import { signal } from "@preact/signals";
import { useId } from "preact/hooks";
import { html } from "htm/preact";

import { lateS } from "./store.js";
import { printable } from "./shared/text.js";

/** Maximum delay that the sandbox accepts, in seconds. */
const LATE_MAX_S = 3600;

/** How long a success message stays, in milliseconds; a failure message stays until the next click. */
const SAID_MS = 5000;

/** Result of the last click; `isBad` if it failed. */
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
 * Sends a request to one of the sandbox's own routes.
 *
 * @param {string} path The part after `/sandbox`.
 * @param {object} body
 * @param {string} [done] Message on success; none if the page shows the result anyway.
 * @param {string} [method]
 * @returns {Promise<object | null>} The response; null on failure.
 */
export async function ask(path, body = {}, done = "", method = "POST") {
  try {
    const response = await fetch(`./sandbox${path}`, {
      method,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    outcome.value = response.ok
      ? { text: done, isBad: false }
      : { text: `Failed: ${answer.error}`, isBad: true };
    return response.ok ? answer : null;
  } catch {
    outcome.value = { text: "Failed: the sandbox does not answer.", isBad: true };
    return null;
  }
}

/**
 * A button that never moves; if it is disabled, it says why. The second click of a double click does nothing: the page
 * does not show the first one's result yet.
 *
 * @param {{ label: string, about?: string, cannot?: string, class?: string, onAct: () => void }} props
 *   `about`: the target, for screen readers; `cannot`: why it is disabled, empty if it isn't.
 */
export function Act({ label, about = "", cannot = "", class: name = "", onAct }) {
  const id = useId();
  return html`<div class="act">
    <button
      type="button"
      class=${name}
      aria-label=${about ? `${label}: ${printable(about)}` : null}
      aria-disabled=${cannot ? "true" : null}
      aria-describedby=${id}
      onClick=${(event) => cannot || event.detail > 1 || onAct()}
    >
      ${label}
    </button>
    <small id=${id}>${cannot}</small>
  </div>`;
}

/** Setting for the delay of everything that can be delayed. */
export function Late() {
  return html`<label class="late">
    delay
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

/** The line with the result of a click. */
export function Outcome() {
  const { text, isBad } = outcome.value;
  return html`
    <p role="status" class=${text && !isBad ? "outcome" : "unseen"}>${isBad ? "" : printable(text)}</p>
    <p role="alert" class=${isBad ? "outcome bad" : "unseen"}>${isBad ? printable(text) : ""}</p>
  `;
}
