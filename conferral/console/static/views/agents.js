// Agents view: every party of a live call except the customer, by address, with their calls, each since they joined it.

import { html } from "htm/preact";

import { kindOf } from "../filtering.js";
import { Kind } from "../parts/badges.js";
import { to } from "../route.js";
import { isStale, rows, rowsKnown, rowsRevision } from "../store.js";
import { Text, counted } from "../shared/text.js";
import { Lasts, Time } from "../shared/time.js";

/** The view. */
export function Agents() {
  void rowsRevision.value;
  const all = [...rows.values()];
  const live = agents(all.filter((row) => row.state !== "ended"));
  const found = live.length ? live : agents(all);
  const nothing = found.length ? "No one is on a call. On the newest ended calls:" : "No one is on a call.";
  return html`<div class=${isStale.value ? "is-blind" : ""}>
    <div class="view-head"><h1>Agents</h1><p class="small muted">Everyone on a live call except customers.</p></div>
    ${live.length ? null : html`<p class="nothing muted">${rowsKnown.value ? nothing : "Loading calls…"}</p>`}
    <ul class="agents">${found.map((agent) => html`<${Agent} key=${agent.key} agent=${agent} />`)}</ul>
  </div>`;
}

function Agent({ agent }) {
  return html`<li class="panel agent">
    <h2><${Text} value=${agent.address} /> <span class="small muted">${counted(agent.calls.length, "call")}</span></h2>
    <ul>
      ${agent.calls.map(
        ({ row, party, status, since }) => html`<li key=${row.id}>
          <a href=${to("session", row.id)}><${Text} value=${row.title || row.id} /></a>
          <${Kind} kind=${kindOf(row)} />
          <span class="muted"><${Text} value=${`${party}, ${status}`} /></span>
          <span class="number"><${Time} at=${since} as="clock" />, <${Lasts} from=${since} to=${row.ended_at} /></span>
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
    for (const [party, address, status, key, since] of row.people) {
      const agent = found.get(key) ?? { key, address, calls: [] };
      agent.calls.push({ row, party, status, since });
      found.set(key, agent);
    }
  }
  const byCalls = (one, other) => other.calls.length - one.calls.length || (one.key < other.key ? -1 : 1);
  return [...found.values()].sort(byCalls);
}
