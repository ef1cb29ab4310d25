// Jump buttons for long pages on small screens. Not anchors: the URL's fragment already selects the view.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

const small = matchMedia("(max-width: 760px)");
/** Whether the screen is small. */
export const isSmall = signal(small.matches);
small.addEventListener("change", () => {
  isSmall.value = small.matches;
});

/**
 * Buttons that lead to the parts of a page; only on small screens.
 *
 * @param {{ parts: [string, string][] }} props Each part's heading id and name.
 */
export function Jump({ parts }) {
  if (!isSmall.value) {
    return null;
  }
  return html`<nav class="jump" aria-label="On this page">
    ${parts.map(([id, label]) => html`<button key=${id} type="button" onClick=${() => jump(id)}>${label}</button>`)}
  </nav>`;
}

/** Scroll to a part and focus it, so that keyboard users continue from there. */
function jump(id) {
  const element = document.getElementById(id);
  if (element) {
    element.tabIndex = -1;
    element.scrollIntoView({ block: "start" });
    element.focus({ preventScroll: true });
  }
}
