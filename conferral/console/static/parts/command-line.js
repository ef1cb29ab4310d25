// Equivalent command lines of a view.

import { html } from "htm/preact";

import { copied, copy } from "../shared/copy.js";
import { Text } from "../shared/text.js";

const nameOf = (what) => (what === "curl" ? "curl command" : what);

/**
 * Lines to copy.
 *
 * @param {{ lines: [string, string][], isInDialog?: boolean }} props Purpose and line of each. Screen readers
 *   read nothing below an open dialog, so the dialog itself reports what was copied.
 */
export function CommandLine({ lines, isInDialog = false }) {
  return html`<details class="lines">
    <summary>Show command line / curl</summary>
    ${lines.map(
      ([what, line]) => html`<div class="line" key=${what}>
        <pre tabindex="0" role="region" aria-label=${`The ${what}`}><${Text} value=${line.replaceAll(" \\\n  ", " ")} /></pre>
        <button type="button" onClick=${() => copy(line, `the ${nameOf(what)}`)}>Copy ${nameOf(what)}</button>
      </div>`,
    )}
    ${isInDialog ? html`<p class="small muted" role="status">${copied.value}</p>` : null}
  </details>`;
}
