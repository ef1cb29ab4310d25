// Where a long page leads on a small screen. The addresses of these pages say what is looked at: a part of one is none.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

const small = matchMedia("(max-width: 760px)");
const isSmall = signal(small.matches);
small.addEventListener("change", () => {
  isSmall.value = small.matches;
});

/**
 * Buttons that lead to the parts of a page; on small screens alone.
 *
 * @param {{ parts: [string, string][] }} props Of each the id of its heading, and what it is called.
 */
export function Jump({ parts }) {
  if (!isSmall.value) {
    return null;
  }
  return html`<nav class="jump" aria-label="On this page">
    ${parts.map(([id, label]) => html`<button key=${id} type="button" onClick=${() => jump(id)}>${label}</button>`)}
  </nav>`;
}

/** Brings a part into sight, and gives it the focus: whoever goes on by keys goes on from there. */
function jump(id) {
  const element = document.getElementById(id);
  if (element) {
    element.tabIndex = -1;
    element.scrollIntoView({ block: "start" });
    element.focus({ preventScroll: true });
  }
}
