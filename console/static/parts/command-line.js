// What a page does, as lines to type.

import { html } from "htm/preact";

import { copied, copy } from "../shared/copy.js";
import { Text } from "../shared/text.js";

/**
 * Lines that can be copied.
 *
 * @param {{ lines: [string, string][], isInDialog?: boolean }} props What each is for, and the line. Below an open
 *   dialog nothing is read out, so what was copied is said in the dialog itself.
 */
export function CommandLine({ lines, isInDialog = false }) {
  return html`<details class="lines">
    <summary>The same as a line to type</summary>
    ${lines.map(
      ([what, line]) => html`<div class="line" key=${what}>
        <pre tabindex="0" role="region" aria-label=${`The ${what}`}><${Text} value=${line.replaceAll(" \\\n  ", " ")} /></pre>
        <button type="button" onClick=${() => copy(line, `the line for ${what}`)}>Copy for ${what}</button>
      </div>`,
    )}
    ${isInDialog ? html`<p class="small muted" role="status">${copied.value}</p>` : null}
  </details>`;
}
