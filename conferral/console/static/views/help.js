// Help: the list of keys, and a legend of the badges.

import { html } from "htm/preact";

import { KEYS, helpShown } from "../keys.js";
import { Dialog } from "../parts/dialog.js";
import { Kind } from "../parts/badges.js";

const KINDS = {
  ringing: "no one has answered yet",
  queued: "the caller waits in a queue",
  talking: "customer and agent are connected, directly or in a conference",
  "on hold": "the customer, or another, is on hold",
  parked: "the call waits for someone to retrieve it",
  transferring: "someone else is being dialed or consulted, or is taking over",
  voicemail: "the caller is in the voicemail",
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
    <h3>Symbols</h3>
    <table>
      <tbody>
        ${Object.entries(KINDS).map(([kind, what]) => html`<tr key=${kind}><td><${Kind} kind=${kind} /></td><td>${what}</td></tr>`)}
      </tbody>
    </table>
  <//>`;
}
