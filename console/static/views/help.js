// Help: the list of keys, and a legend of the badges.

import { html } from "htm/preact";

import { KEYS, helpShown } from "../keys.js";
import { Dialog } from "../parts/dialog.js";
import { State } from "../parts/badges.js";

const STATES = {
  bridged: "customer and agent are joined by a plain Dial, or about to be",
  converting: "both are on their way into the conference",
  conferenced: "everybody is in the conference, nobody is on the way",
  transferring: "somebody else is called, asked, or just taking over",
  ended: "over for good",
};

/** The dialog. */
export function Help() {
  if (!helpShown.value) {
    return null;
  }
  return html`<${Dialog} title="Keys and marks" onClose=${() => (helpShown.value = false)}>
    <table>
      <tbody>
        ${KEYS.map(([keys, what]) => html`<tr key=${keys}><th scope="row"><kbd>${keys}</kbd></th><td>${what}</td></tr>`)}
      </tbody>
    </table>
    <p class="small muted">No key alone changes a call.</p>
    <h3>States</h3>
    <table>
      <tbody>
        ${Object.entries(STATES).map(([state, what]) => html`<tr key=${state}><td><${State} state=${state} /></td><td>${what}</td></tr>`)}
      </tbody>
    </table>
  <//>`;
}
