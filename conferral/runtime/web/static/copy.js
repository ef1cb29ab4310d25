// Click to copy: puts text on the clipboard.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { printable } from "./text.js";

/** How long the confirmation is shown, milliseconds. */
const SHOWN_MS = 2000;

/** What was copied last; a status line that shows this signal announces it once to screen readers. */
export const copied = signal("");

let timer = 0;

/**
 * Put text on the clipboard.
 *
 * @param {string} text The raw text, not its escaped form.
 * @param {string} what Name for the confirmation: "the call SID".
 * @returns {Promise<boolean>} Whether the browser allowed it.
 */
export async function copy(text, what) {
  const done = await toClipboard(text);
  clearTimeout(timer);
  copied.value = done ? `Copied ${what}` : `The browser blocked copying; select ${what} and copy it yourself`;
  timer = setTimeout(() => {
    copied.value = "";
  }, SHOWN_MS);
  return done;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The Clipboard API needs TLS, except on localhost; the older way works without it.
    return byOldWay(text);
  }
}

function byOldWay(text) {
  const area = document.createElement("textarea");
  const focused = document.activeElement;
  area.value = text;
  area.className = "unseen";
  // With an open dialog, only text inside the dialog can be selected.
  (focused?.closest("dialog") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus?.();
  return done;
}

/**
 * A value that a click copies in its escaped form, so that pasting it into a terminal runs nothing hidden in it.
 *
 * @param {{ value: string, what: string, shown?: string }} props `shown`: displayed instead of the full value.
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
