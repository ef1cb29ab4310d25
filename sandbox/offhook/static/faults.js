// Fault panel: buttons that inject faults, and the pending ones.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { ask, Late } from "./action.js";
import { faults, lateS } from "./store.js";
import { Text } from "./shared/text.js";

const EVENTS = [
  "*",
  "initiated",
  "ringing",
  "answered",
  "completed",
  "conference-start",
  "conference-end",
  "participant-join",
  "participant-leave",
  "participant-hold",
  "participant-unhold",
  "participant-mute",
  "participant-unmute",
];
const event = signal("*");
/** Requests by purpose, as the faults match them: path and parameters. */
const ASKED = {
  any: { path: "/" },
  "a dial": { path: "/Conferences/*/Participants.json" },
  "a dial outside a conference": { path: "/Calls.json" },
  hold: { path: "/Conferences/*/Participants/*", Hold: "true" },
  unhold: { path: "/Conferences/*/Participants/*", Hold: "false" },
  redirect: { path: "/Calls/CA*", Twiml: "*" },
  "hang-up": { path: "/Calls/CA*", Status: "completed" },
};
const asked = signal("any");
const request = (fault) => ({ what: "next_rest", method: "POST", ...ASKED[asked.value], ...fault });

const CALLBACKS = [
  ["Drop", () => ({ what: "lose_callbacks", event: event.value })],
  ["Duplicate", () => ({ what: "duplicate_callbacks", event: event.value })],
  ["Send late", () => ({ what: "delay_callbacks", event: event.value, by_s: lateS.value })],
  ["Reorder", () => ({ what: "hold_back_callbacks", event: event.value })],
];
const REQUESTS = [
  ["Succeed, then answer 500", () => request({ status: 500, moment: "after" })],
  ["Fail with 500", () => request({ status: 500 })],
  ["Fail with 429", () => request({ status: 429 })],
  ["Succeed, then drop the connection", () => request({ cut: "after" })],
  ["Drop the connection", () => request({ cut: "before" })],
];
const DOCUMENTS = [
  ["No connection", () => ({ what: "fail_fetches", url_part: "" })],
  ["HTTP 500", () => ({ what: "fail_fetches", url_part: "", status: 500 })],
  ["Send late", () => ({ what: "delay_fetches", url_part: "", by_s: lateS.value })],
];

/** Buttons that inject faults, and the list of pending ones. */
export function FaultPanel() {
  return html`<section class="breaking" aria-labelledby="breaking">
    <h2 id="breaking">Inject faults</h2>
    <div>
      <${Late} />
      <p class="muted small">Delay used by “Send late” below.</p>
    </div>
    <fieldset>
      <legend>The next callback</legend>
      <label>
        of the event${" "}
        <select
          value=${event.value}
          onChange=${(change) => {
            event.value = change.target.value;
          }}
        >
          ${EVENTS.map((name) => html`<option key=${name} value=${name}>${name === "*" ? "any" : name}</option>`)}
        </select>
      </label>
      <${Wishes} wishes=${CALLBACKS} />
    </fieldset>
    <fieldset>
      <legend>The next REST request that changes something</legend>
      <label>
        of the kind${" "}
        <select
          value=${asked.value}
          onChange=${(change) => {
            asked.value = change.target.value;
          }}
        >
          ${Object.keys(ASKED).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
        </select>
      </label>
      <${Wishes} wishes=${REQUESTS} />
    </fieldset>
    <fieldset>
      <legend>The next request for TwiML</legend>
      <${Wishes} wishes=${DOCUMENTS} />
    </fieldset>
    <${PendingFaults} />
  </section>`;
}

function Wishes({ wishes }) {
  return wishes.map(
    ([label, wish]) =>
      html`<button key=${label} type="button" onClick=${() => ask("/faults", { once: [wish()] })}>${label}</button>`,
  );
}

function PendingFaults() {
  const { to_come: toCome, rates } = faults.value;
  const names = Object.entries(rates);
  if (toCome.length + names.length === 0) {
    return html`<p class="muted">No faults set.</p>`;
  }
  return html`<div class="to-come">
    <h3>Faults set</h3>
    <ul>
      ${toCome.map(
        (it) =>
          html`<li key=${it.number}>
            <${Text} value=${it.words} />${it.count > 1 && ` (${it.count} times)`}${" "}
            <button type="button" onClick=${() => ask("/faults", { forget: it.number })}>
              Remove<span class="unseen"> ${it.words}</span>
            </button>
          </li>`,
      )}
      ${names.map(([name, value]) => html`<li key=${name}><code>${name}</code> ${JSON.stringify(value)}</li>`)}
    </ul>
    <button type="button" onClick=${() => ask("/faults", {}, "all faults removed", "DELETE")}>
      Remove all faults
    </button>
  </div>`;
}
