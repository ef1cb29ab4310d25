// Agents view: everyone in the directory, and everyone with a desk: who is free, and who talks with whom.

import { html } from "htm/preact";

import { Icon } from "../shared/icon.js";
import { to } from "../route.js";
import { agents, isStale } from "../store.js";
import { Text, counted } from "../shared/text.js";
import { Time, span } from "../shared/time.js";

/** Statuses in the order of the list, with their icons. */
const STATUSES = { busy: "phone-call", ready: "circle-check", away: "user-round-x", "not on a call": "circle" };
const ORDER = Object.keys(STATUSES);

/** The view. */
export function Agents() {
  const all = agents.value;
  const counts = ORDER.map((status) => [status, (all ?? []).filter((one) => one.status === status).length]);
  return html`<div class=${isStale.value ? "is-blind" : ""}>
    <div class="view-head">
      <h1>Agents</h1>
      <p class="small muted">${counts.filter(([, count]) => count).map(([status, count]) => `${count} ${status}`).join(", ")}</p>
    </div>
    ${all === null
      ? html`<p class="muted">Loading…</p>`
      : all.length
        ? html`<${Table} all=${all} />`
        : html`<p class="nothing muted">No one yet. Agents appear with a desk, or with a name in the directory (CONFERRAL_DIRECTORY).</p>`}
  </div>`;
}

function Table({ all }) {
  const sorted = [...all].sort((one, other) => ORDER.indexOf(one.status) - ORDER.indexOf(other.status));
  return html`<div class="panel scroll" tabindex="0" role="region" aria-label="Table of agents">
    <table class="agents">
      <thead>
        <tr>
          <th scope="col">Agent</th><th scope="col">Status</th><th scope="col">With</th><th scope="col" class="number">Since</th>
          <th scope="col" class="number">Missed today</th><th scope="col" class="number">Talk today</th>
        </tr>
      </thead>
      <tbody>${sorted.map((one) => html`<${Agent} key=${`${one.name} ${one.address}`} agent=${one} />`)}</tbody>
    </table>
  </div>`;
}

function Agent({ agent: { name, address, status, since, calls, missed, talk_s: talkS } }) {
  return html`<tr>
    <th scope="row"><${Text} value=${name} /> ${address.replace("client:", "") === name ? null : html`<span class="small muted"><${Text} value=${address} /></span>`}</th>
    <td data-label="Status"><span class="kind"><${Icon} name=${STATUSES[status] ?? "circle"} />${status}</span></td>
    <td data-label="With">
      ${calls.map(
        (call) => html`<p key=${call.id}>
          <a href=${to("session", call.id)}><${Text} value=${call.people || call.id} /></a>
          <span class="small muted"> <${Text} value=${call.status === "connected" ? call.party : `${call.party}, ${call.status}`} /></span>
        </p>`,
      )}
    </td>
    <td data-label="Since" class="number"><${Time} at=${since} as="age" /></td>
    <td data-label="Missed today" class=${missed ? "number is-missed" : "number"}>${missed ? counted(missed, "ring") : ""}</td>
    <td data-label="Talk today" class="number">${talkS ? span(talkS * 1000) : ""}</td>
  </tr>`;
}
