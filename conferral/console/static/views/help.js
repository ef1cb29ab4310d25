// Help: the list of keys, and a legend of the badges.

import { html } from "htm/preact";

import { KEYS, helpShown } from "../keys.js";
import { Dialog } from "../parts/dialog.js";
import { State } from "../parts/badges.js";

const STATES = {
  bridged: "customer and agent are connected directly, or about to be",
  converting: "both are being moved into the conference",
  conferenced: "everyone is in the conference",
  transferring: "someone else is being dialed or consulted, or is taking over",
  ended: "call finished",
};

/** The dialog. */
export function Help() {
  if (!helpShown.value) {
    return null;
  }
  return html`<${Dialog} title="Keyboard shortcuts and symbols" onClose=${() => (helpShown.value = false)}>
    <table>
      <tbody>
        ${KEYS.map(([keys, what]) => html`<tr key=${keys}><th scope="row"><kbd>${keys}</kbd></th><td>${what}</td></tr>`)}
      </tbody>
    </table>
    <p class="small muted">Shortcuts never change a call.</p>
    <h3>States</h3>
    <table>
      <tbody>
        ${Object.entries(STATES).map(([state, what]) => html`<tr key=${state}><td><${State} state=${state} /></td><td>${what}</td></tr>`)}
      </tbody>
    </table>
  <//>`;
}
