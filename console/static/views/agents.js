// Agents view: every party of a live call except the customer, by address, with their calls.

import { html } from "htm/preact";

import { State } from "../parts/badges.js";
import { to } from "../route.js";
import { isStale, rows, rowsKnown, rowsRevision } from "../store.js";
import { Text, counted } from "../shared/text.js";
import { Time } from "../shared/time.js";

/** The view. */
export function Agents() {
  void rowsRevision.value;
  const found = agents(rows.values());
  return html`<div class=${isStale.value ? "is-blind" : ""}>
    <div class="view-head"><h1>Agents</h1><p class="small muted">Everyone on a live call except customers.</p></div>
    ${found.length
      ? html`<ul class="agents">${found.map((agent) => html`<${Agent} key=${agent.key} agent=${agent} />`)}</ul>`
      : html`<p class="nothing muted">${rowsKnown.value ? "No one is on a call." : "Loading calls…"}</p>`}
  </div>`;
}

function Agent({ agent }) {
  return html`<li class="panel agent">
    <h2><${Text} value=${agent.address} /> <span class="small muted">${counted(agent.calls.length, "call")}</span></h2>
    <ul>
      ${agent.calls.map(
        ({ row, party, status }) => html`<li key=${row.id}>
          <${State} state=${row.state} phase=${row.phase} />
          <span><${Text} value=${`${party}, ${status}`} class="muted" /></span>
          <span class="number"><${Time} at=${row.since} as="age" /></span>
          <a class="mono" href=${to("session", row.id)}><${Text} value=${row.id} /></a>
        </li>`,
      )}
    </ul>
  </li>`;
}

/**
 * Returns agents with their calls: those on the most calls first, then by address.
 *
 * @param {Iterable<object>} all Rows as received.
 */
function agents(all) {
  const found = new Map();
  for (const row of all) {
    for (const [party, address, status, key] of row.state === "ended" ? [] : row.people) {
      const agent = found.get(key) ?? { key, address, calls: [] };
      agent.calls.push({ row, party, status });
      found.set(key, agent);
    }
  }
  const byCalls = (one, other) => other.calls.length - one.calls.length || (one.key < other.key ? -1 : 1);
  return [...found.values()].sort(byCalls);
}
