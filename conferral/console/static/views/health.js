// Health view: owners, backlog, rates, and Twilio failures.

import { html } from "htm/preact";

import { Mark } from "../parts/badges.js";
import { Code } from "../parts/timeline.js";
import { health, isStale } from "../store.js";
import { counted, Text } from "../shared/text.js";
import { Sentence } from "../sentences.js";
import { Time, shortSpan } from "../shared/time.js";

/** A process that has not registered for this long is late, in milliseconds; each registers every second. */
const LATE_MS = 5000;
/** More entries than this in a partition's stream count as a backlog. */
const BACKLOG = 100;

/** The view. */
export function Health() {
  const found = health.value;
  if (!found) {
    return html`<h1>Health</h1><p class="muted">Loading…</p>`;
  }
  return html`<div class=${isStale.value ? "is-blind" : ""}>
    <div class="view-head"><h1>Health</h1><p class="small muted">as of <${Time} at=${found.at} as="clock" /></p></div>
    <${Verdict} health=${found} />
    <${Rates} rates=${found.rates} />
    <div class="columns is-health">
      <div class="column"><${Partitions} partitions=${found.partitions} at=${found.at} /></div>
      <div class="column">
        <${Leases} health=${found} />
        <${Processes} processes=${found.processes} />
        <${Failures} health=${found} />
      </div>
    </div>
  </div>`;
}

/** In one line, what someone has to do; below, the rest. */
function Verdict({ health: of }) {
  const [first, ...others] = of.tasks;
  return html`<div class="verdict">
    <p class="headline">
      ${first ? html`<${Task} task=${first} />` : html`<${Mark} kind="good">Nothing to do: calls are served, and nothing is overdue.<//>`}
    </p>
    ${others.length ? html`<ul aria-label="Also to do">${others.map((one) => html`<li key=${one[1]}><${Task} task=${one} /></li>`)}</ul>` : null}
  </div>`;
}

function Task({ task: [kind, text, fix] }) {
  return html`<${Mark} kind=${kind}><${Sentence} value=${text} /><//>${fix ? html` <${Text} value=${`${fix[0].toUpperCase()}${fix.slice(1)}.`} />` : null}`;
}

const sinceRenewal = (owner, at) => shortSpan(Math.max(0, Date.parse(at) - Date.parse(owner.renewed_at)));
const rate = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });

function Rates({ rates }) {
  if (!rates) {
    return html`<p class="muted small">Rates appear after the next update.</p>`;
  }
  const tiles = [
    ["Events", rates.events],
    ["Commits", rates.commits],
    ["Callbacks", rates.callbacks],
    ["REST requests", rates.requests],
  ];
  return html`<ul class="strip" aria-label=${`Rates over ${rates.seconds.toFixed(0)} s`}>
    ${tiles.map(
      ([label, value]) => html`<li key=${label} class="tile">
        <span class="tile-label">${label}</span><span class="tile-value">${rate(value)}</span><span class="tile-unit">per second</span>
      </li>`,
    )}
  </ul>`;
}

function Partitions({ partitions, at }) {
  return html`<section class="panel" aria-labelledby="partitions-title">
    <h2 id="partitions-title">Partitions</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of partitions">
      <table>
        <thead>
          <tr>
            <th scope="col" class="number">No.</th><th scope="col">Worker</th><th scope="col" class="number">Lease</th>
            <th scope="col" class="number">Live</th><th scope="col" class="number">Waiting</th>
            <th scope="col" class="number">Lag (events)</th><th scope="col" class="number">Outbox</th>
            <th scope="col" class="number">Overdue</th><th scope="col" class="number">Last commit</th>
          </tr>
        </thead>
        <tbody>
          ${partitions.map(
            (one) => html`<tr key=${one.number}>
              <th data-label="Partition " scope="row" class="number">${one.number}</th>
              <td data-label="Worker" class="owner"><${Owner} owner=${one.owner} /></td>
              <td data-label="Lease" class="number">${one.owner.name ? sinceRenewal(one.owner, at) : ""}</td>
              <td data-label="Live" class="number">${one.live}</td>
              <td data-label="Waiting" class="number">${one.undecided > BACKLOG ? html`<${Mark} kind="warn">${one.undecided}<//>` : one.undecided}</td>
              <td data-label="Lag (events)" class="number">${one.lag ?? "n/a"}</td>
              <td data-label="Outbox" class="number">${one.outbox}</td>
              <td data-label="Overdue" class="number">${one.overdue_timers ? html`<${Mark} kind="bad">${one.overdue_timers}<//>` : 0}</td>
              <td data-label="Last commit" class="number">${one.commit}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="small muted">
      Lease: time since its last renewal. Waiting: events not processed yet. Lag needs Redis 7. Overdue: timers past due.
      Last commit: the number of the newest commit.
    </p>
  </section>`;
}

function Owner({ owner }) {
  return owner.name
    ? html`<${Text} value=${owner.name} class="mono" /> <span class="muted small">epoch${"\u00a0"}${owner.epoch}</span>`
    : html`<${Mark} kind="bad">unassigned<//>`;
}

function Leases({ health: of }) {
  const leases = [
    ["Command router", of.router],
    ["Sweep", of.sweep],
  ];
  return html`<section class="panel" aria-labelledby="leases-title">
    <h2 id="leases-title">Singleton tasks</h2>
    <dl class="pairs">
      ${leases.map(
        ([what, owner]) => html`<dt>${what}</dt>
          <dd><${Owner} owner=${owner} />${owner.name ? html` <span class="small muted">renewed ${sinceRenewal(owner, of.at)} ago</span>` : null}</dd>`,
      )}
      <dt>Commands waiting for routing</dt>
      <dd>${of.commands}</dd>
      <dt>Sessions with outcomes to send</dt>
      <dd>${of.outcomes.waiting}</dd>
    </dl>
  </section>`;
}

function Processes({ processes }) {
  return html`<section class="panel" aria-labelledby="processes-title">
    <h2 id="processes-title">Processes</h2>
    ${processes.length ? null : html`<p class="muted">No process is running.</p>`}
    <ul class="processes">
      ${processes.map(
        (one) => html`<li key=${one.name}>
          <p>
            <strong><${Text} value=${one.kind} /></strong> <${Text} value=${one.name} class="mono" />
            ${one.seen_ms_ago > LATE_MS ? html` <${Mark} kind="warn">last seen ${shortSpan(one.seen_ms_ago)} ago<//>` : null}
          </p>
          <p class="small muted">version <${Text} value=${one.version} /><${Counters} counters=${one.stats} /></p>
        </li>`,
      )}
    </ul>
  </section>`;
}

/** Counters since the process's start, which depend on its kind. */
function Counters({ counters }) {
  if (!counters) {
    return html`; no statistics yet`;
  }
  const known = Object.entries(counters).filter(([, value]) => typeof value === "number" && value > 0);
  return known.map(([name, value]) => `; ${name.replaceAll("_", " ")} ${value.toLocaleString("en")}`).join("");
}

/** The result of failed requests: Twilio's code, or the reason for having none. */
function Failed({ code }) {
  if (/^\d{5}$/.test(code)) {
    return html`<${Code} code=${code} />`;
  }
  return html`<${Text} value=${code === "unknown" ? "no reply from Twilio" : code} />`;
}

/** Failed and unanswered requests since the processes' start, by Twilio's code, with rates. */
function Failures({ health: of }) {
  const totals = new Map();
  for (const { stats } of of.processes) {
    for (const [code, count] of Object.entries(stats?.failures ?? {})) {
      totals.set(code, (totals.get(code) ?? 0) + count);
    }
  }
  const rows = [...totals].sort((one, other) => other[1] - one[1]);
  return html`<section class="panel" aria-labelledby="failures-title">
    <h2 id="failures-title">Failed Twilio requests</h2>
    ${rows.length
      ? html`<table>
          <thead><tr><th scope="col">Code</th><th scope="col" class="number">Since start</th><th scope="col" class="number">Per second</th></tr></thead>
          <tbody>
            ${rows.map(
              ([code, count]) => html`<tr key=${code}>
                <th scope="row"><${Failed} code=${code} /></th>
                <td class="number">${count.toLocaleString("en")}</td>
                <td class="number">${rate(of.rates?.failures?.[code] ?? 0)}</td>
              </tr>`,
            )}
          </tbody>
        </table>`
      : html`<p class="muted">None since the running processes started.</p>`}
  </section>`;
}
