// One call: what goes on, what can be done, who hears whom, what has happened; and at the end what engineers need.

import { html } from "htm/preact";

import { kindOf } from "../filtering.js";
import { Kind, Trouble } from "../parts/badges.js";
import { Commands } from "../parts/commands.js";
import { readLines } from "../command-lines.js";
import { Parties } from "../parts/parties.js";
import { Code, Timeline, showMoment } from "../parts/timeline.js";
import { CommandLine } from "../parts/command-line.js";
import { PendingList } from "../parts/pending.js";
import { route } from "../route.js";
import { hello, isStale, moments, newestFirst, session } from "../store.js";
import { Copyable } from "../shared/copy.js";
import { Jump } from "../shared/jump.js";
import { counted, Text } from "../shared/text.js";
import { Lasts, Sentence } from "../sentences.js";
import { Time } from "../shared/time.js";

/** Navigation targets on small screens. */
const PARTS = [
  ["parties-title", "People"],
  ["log-title", "Timeline"],
  ["details-title", "Details"],
];

/** Ids and SIDs; the server finds no call by anything else. */
const ID = /^[\w-]{1,64}$/;

/** The view. */
export function Session() {
  const { id } = route.value;
  const found = session.value;
  const isMine = found !== null && (found.id === id || found.asked === id);
  if (!isMine && ID.test(id)) {
    return html`<${Back} /><h1>Call</h1><p class="muted">Loading…</p>`;
  }
  if (!isMine || !found.known) {
    return html`<${Back} />
      <h1>No such call</h1>
      <p>
        Redis has no call <${Text} value=${id} class="mono" />. Ended calls are kept for 24 hours by default.
        A call that came in while Redis was away is known after two sweeps.
      </p>`;
  }
  return html`<div class=${isStale.value ? "is-blind" : ""}><${Known} now=${found} /></div>`;
}

function Back() {
  return html`<nav class="back" aria-label="Back"><a href="#sessions">← All calls</a></nav>`;
}

function Known({ now }) {
  return html`
    <${Head} now=${now} />
    <${PendingList} waits=${now.waits} />
    <${FirstFailure} failure=${now.first_failure} needsPerson=${now.trouble?.attention} />
    <${Commands} id=${now.id} buttons=${now.buttons} />
    <${Jump} parts=${PARTS} />
    <div class="columns">
      <section class="panel" aria-labelledby="parties-title">
        <h2 id="parties-title">Who hears whom</h2>
        <${Parties} parties=${now.parties} />
      </section>
      <${Log} of=${now} />
    </div>
    <details class="panel details">
      <summary><h2 id="details-title">Details: ids, command lines</h2></summary>
      <${Details} now=${now} />
    </details>
  `;
}

/** The call in a sentence or two, then its facts. */
function Head({ now }) {
  const { fields } = now;
  const end = fields.ended_at ? html`, ended <${Time} at=${fields.ended_at} />, lasted ` : ", lasts ";
  return html`<header class="session-head">
    <div class="session-top">
      <${Back} />
      <h1><span class="unseen">Call: </span><${Text} value=${now.people || now.id} /></h1>
    </div>
    <p class="headline">
      ${now.headline.map(
        ([text, since]) => html`<span><${Text} value=${text} />${since ? html` for <${Time} at=${since} as="age" />` : null}. </span>`,
      )}
    </p>
    <p class="small muted facts">
      <${Kind} kind=${kindOf({ state: fields.state, phase: fields.phase, held: now.held })} />
      <span>
        ${fields.direction}${fields.number ? html`, ${fields.direction === "inbound" ? "called" : "shows"} <${Text} value=${fields.number} />` : null},
        started <${Time} at=${fields.created_at} as="clock" />${end}<${Lasts} from=${fields.created_at} to=${fields.ended_at} />
        ${fields.ref ? html`, reference <${Text} value=${fields.ref} />` : null}
      </span>
      <${Trouble} trouble=${now.trouble} />
    </p>
  </header>`;
}

/** Red only while a person has to act. */
function FirstFailure({ failure, needsPerson }) {
  if (!failure) {
    return null;
  }
  const isRefusal = failure.is_refusal;
  const what = isRefusal ? "Last refused command:" : failure.is_earlier ? "Earlier failure (none since):" : "First failure:";
  return html`<p class=${needsPerson && !isRefusal ? "first-failure is-bad" : "first-failure"}>
    <strong>${what}</strong>
    <button type="button" class="linklike" onClick=${() => showMoment(failure.entry, moments.value)}>
      <${Text} value=${isRefusal && failure.guard ? `${failure.what}:` : failure.what} />
    </button>
    ${failure.guard ? html`<span>${isRefusal ? "" : "– "}<${Text} value=${failure.guard} /></span>` : null}
    <span class="small muted"><${Time} at=${failure.at} /></span>
    <${Code} code=${failure.twilio_code} />
  </p>`;
}

function Log({ of }) {
  const all = moments.value;
  return html`<section class="panel" aria-labelledby="log-title">
    <div class="panel-head">
      <h2 id="log-title">Timeline <span class="muted small">${counted(all.length, "event")}</span></h2>
      <button type="button" aria-pressed=${newestFirst.value} onClick=${() => (newestFirst.value = !newestFirst.value)}>
        Newest first
      </button>
    </div>
    <${Timeline} of=${of.id} moments=${all} firstFailure=${of.first_failure?.entry ?? ""} />
  </section>`;
}

/** What engineers need: folded, because the lead of a shift does not. */
function Details({ now }) {
  const program = hello.value.public_command || "conferral";
  return html`
    ${now.summary.length ? html`<ul class="summary-lines">${now.summary.map((one) => html`<li key=${one}><${Sentence} value=${one} /></li>`)}</ul>` : null}
    <${Ids} of=${now} />
    <${Suggestions} program=${program} suggestions=${now.suggestions} />
    <${CommandLine} lines=${readLines(program, now.id)} />
    <p id="state-here">State: <${Text} value=${now.fields.state} /></p>
  `;
}

function Ids({ of }) {
  const links = hello.value.has_twilio_pages ? of.links : {};
  const link = (sid) => (links[sid] ? html` <a href=${links[sid]} target="_blank" rel="noopener noreferrer">view in Twilio</a>` : null);
  const conference = of.fields.conference_sid;
  return html`<dl class="pairs small">
    <dt>call</dt><dd><${Copyable} value=${of.id} what="the call's id" /></dd>
    ${conference ? html`<dt>conference</dt><dd><${Copyable} value=${conference} what="the conference SID" />${link(conference)}</dd>` : null}
    ${of.parties.map(
      (party) => html`<dt key=${party.name}><${Text} value=${party.name} /></dt>
        <dd>
          <${Text} value=${party.address} class="mono" /> <${Copyable} value=${party.call_sid} what="the call SID" />${link(party.call_sid)}
          ${party.label ? html` label <${Copyable} value=${party.label} what="the label" />` : null}
        </dd>`,
    )}
  </dl>`;
}

function Suggestions({ program, suggestions }) {
  if (!suggestions.length) {
    return null;
  }
  return html`<div class="suggestions">
    <h3 class="muted">Suggested actions</h3>
    <ul>
      ${suggestions.map(
        (one) => html`<li key=${one.arguments}>
          <strong><${Text} value=${one.command} />:</strong> <span><${Text} value=${one.why} /></span>
          <${Copyable} value=${`${program} ${one.arguments}`} shown=${`conferral ${one.arguments}`} what="the command" />
        </li>`,
      )}
    </ul>
  </div>`;
}
