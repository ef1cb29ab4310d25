// What a click copies.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { printable } from "./text.js";

/** How long it is said that something was copied, milliseconds. */
const TOLD_MS = 2000;

/** What was copied last: said once for those who listen, by whoever shows this signal in a status line. */
export const copied = signal("");

let timer = 0;

/**
 * Puts text on the clipboard.
 *
 * @param {string} text As it is, not as it is shown.
 * @param {string} what Said afterwards: "the call SID".
 * @returns {Promise<boolean>} Whether the browser allowed it.
 */
export async function copy(text, what) {
  const done = await toClipboard(text);
  clearTimeout(timer);
  copied.value = done ? `${what} is copied` : `the browser does not let ${what} be copied; select it instead`;
  timer = setTimeout(() => {
    copied.value = "";
  }, TOLD_MS);
  return done;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard without TLS, except on this very machine: the older way still works there.
    return byOldWay(text);
  }
}

function byOldWay(text) {
  const area = document.createElement("textarea");
  const focused = document.activeElement;
  area.value = text;
  area.className = "unseen";
  // Below an open dialog nothing can be selected but what is in it.
  (focused?.closest("dialog") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus?.();
  return done;
}

/**
 * A value that a click copies, as it is shown: who pastes it into a terminal must not run what is hidden in it.
 *
 * @param {{ value: string, what: string, shown?: string }} props `shown`: in place of the whole value.
 */
export function Copyable({ value, what, shown }) {
  if (!value) {
    return null;
  }
  const text = printable(shown ?? value);
  return html`<button
    type="button"
    class="copyable mono"
    title=${`Copy ${what}: ${printable(value)}`}
    aria-label=${`Copy ${what} ${printable(value)}`}
    onClick=${() => copy(printable(value), what)}
  >
    ${text}
  </button>`;
}
