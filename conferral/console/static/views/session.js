// Session view: what it waits for, who hears whom, its state, its timeline, and its commands.

import { html } from "htm/preact";

import { State, Trouble } from "../parts/badges.js";
import { Commands } from "../parts/commands.js";
import { Diagram } from "../parts/diagram.js";
import { readLines } from "../command-lines.js";
import { Parties } from "../parts/parties.js";
import { Slider } from "../parts/slider.js";
import { Code, Timeline, confirmationsShown, showMoment } from "../parts/timeline.js";
import { CommandLine } from "../parts/command-line.js";
import { PendingList } from "../parts/pending.js";
import { choose, route } from "../route.js";
import { hello, isStale, moments, newestFirst, past, session } from "../store.js";
import { Copyable } from "../shared/copy.js";
import { Jump } from "../shared/jump.js";
import { counted, Text } from "../shared/text.js";
import { Lasts, Sentence, Time } from "../shared/time.js";

/** Navigation targets on small screens. */
const PARTS = [
  ["parties-title", "Who hears whom"],
  ["commands-title", "Commands"],
  ["log-title", "Timeline"],
];

/** Ids and SIDs; the server finds no call by anything else. */
const ID = /^[\w-]{1,64}$/;

/** The view. */
export function Session() {
  const { id } = route.value;
  const found = session.value;
  const isMine = found !== null && (found.id === id || found.asked === id);
  if (!isMine && ID.test(id)) {
    return html`<${Back} /><h1><${Text} value=${id} class="mono" /></h1><p class="muted">Loading…</p>`;
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

function showVersion(version) {
  choose({ at: version === null ? "" : String(version) });
}

function Back() {
  return html`<nav class="back" aria-label="Back"><a href="#sessions">← All calls</a></nav>`;
}

function Known({ now }) {
  const asOf = versionOf(route.value.choices, moments.value);
  const isPast = asOf !== null;
  const shown = isPast && past.value?.as_of === asOf ? past.value : now;
  const { fields } = shown;
  const links = hello.value.has_twilio_pages ? now.links : {};
  const last = lastMoment(moments.value, asOf);
  const state = isPast ? (last?.to ?? fields.state) : fields.state;
  return html`
    <${Back} />
    <${Head} session=${now} links=${links} state=${state} phase=${isPast && shown === now ? "" : fields.phase} />
    <${Jump} parts=${PARTS} />
    <div class="pinned">
      ${isPast
        ? html`<p class="waits is-past">
            <span><strong>State at version ${asOf}</strong>, <${Time} at=${last?.at} as="fine" /></span>
            <button type="button" onClick=${() => showVersion(null)}>Back to now</button>
          </p>`
        : html`<${PendingList} waits=${now.waits} isOver=${fields.state === "ended"} />`}
    </div>
    <${FirstFailure} failure=${now.first_failure} needsPerson=${now.trouble?.attention} />
    <div class="columns">
      <div class="column">
        <section class="panel" aria-labelledby="parties-title">
          <h2 id="parties-title">Who hears whom</h2>
          <${SessionSummary} sentences=${shown.summary} />
          <${Parties} parties=${shown.parties} links=${links} />
        </section>
        <section class="panel" aria-labelledby="commands-title">
          <h2 id="commands-title">Commands</h2>
          <${Commands} id=${now.id} buttons=${now.buttons} isPast=${isPast} />
          <${Suggestions} suggestions=${isPast ? [] : now.suggestions} />
        </section>
      </div>
      <div class="column">
        <${Log} of=${now} asOf=${asOf} />
        <section class="panel" aria-labelledby="diagram-title-here">
          <details>
            <summary><h2 id="diagram-title-here">State: <${Text} value=${state} /></h2></summary>
            <${Diagram} state=${state} move=${lastMove(moments.value, asOf)} />
          </details>
        </section>
      </div>
    </div>
  `;
}

function Head({ session: of, links, state, phase }) {
  const { fields } = of;
  const end = fields.ended_at ? html`, ended <${Time} at=${fields.ended_at} />, lasted ` : ", lasts ";
  const conference = fields.conference_sid;
  return html`<header class="session-head">
    <h1><span class="unseen">Call: </span><${Text} value=${of.people || of.id} /></h1>
    <${State} state=${state} phase=${phase} />
    <${Trouble} trouble=${of.trouble} />
    <p class="small muted">
      ${fields.direction}, started <${Time} at=${fields.created_at} as="clock" />${end}
      <${Lasts} from=${fields.created_at} to=${fields.ended_at} />, id <${Copyable} value=${of.id} what="the call's id" />
      ${conference ? html`, conference <${Copyable} value=${conference} what="the conference SID" />` : null}
      ${links[conference]
        ? html` <a href=${links[conference]} target="_blank" rel="noopener noreferrer">view in Twilio</a>`
        : null}
      ${fields.number ? html`, ${fields.direction === "inbound" ? "called" : "shows"} <${Text} value=${fields.number} />` : null}
      ${fields.ref ? html`, reference <${Text} value=${fields.ref} />` : null}
    </p>
  </header>`;
}

function SessionSummary({ sentences }) {
  return sentences.length
    ? html`<ul class="summary-lines">${sentences.map((one) => html`<li key=${one}><${Sentence} value=${one} /></li>`)}</ul>`
    : null;
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

function Suggestions({ suggestions }) {
  if (!suggestions.length) {
    return null;
  }
  return html`<div class="suggestions">
    <h3 class="small muted">Suggested actions</h3>
    <ul>
      ${suggestions.map(
        (one) => html`<li key=${one.arguments}>
          <strong><${Text} value=${one.command} />:</strong> <span><${Text} value=${one.why} /></span>
          <${Copyable}
            value=${`${hello.value.public_command || "conferral"} ${one.arguments}`}
            shown=${`conferral ${one.arguments}`}
            what="the command"
          />
        </li>`,
      )}
    </ul>
  </div>`;
}

function Log({ of, asOf }) {
  const all = moments.value;
  const first = of.first_failure?.entry ?? "";
  const folded = all.filter((moment) => moment.is_confirmation).length;
  return html`<section class="panel" aria-labelledby="log-title">
    <div class="panel-head">
      <h2 id="log-title">Timeline <span class="muted small">${counted(all.length, "event")}</span></h2>
      ${folded
        ? html`<button type="button" aria-pressed=${confirmationsShown.value} onClick=${() => (confirmationsShown.value = !confirmationsShown.value)}>
            ${counted(folded, "confirmation")}
          </button>`
        : null}
      <button type="button" aria-pressed=${newestFirst.value} onClick=${() => (newestFirst.value = !newestFirst.value)}>
        Newest first
      </button>
    </div>
    <${Slider} moments=${all} asOf=${asOf} onSelect=${showVersion} />
    <${Timeline} of=${of.id} moments=${all} firstFailure=${first} asOf=${asOf} onSelect=${showVersion} />
    <${CommandLine} lines=${readLines(hello.value.public_command || "conferral", of.id)} />
  </section>`;
}

/** Returns the displayed version; null for the newest. */
function versionOf(choices, all) {
  const version = Number.parseInt(choices.get("at") ?? "", 10);
  return version > 0 && all.length ? version : null;
}

function lastMoment(all, asOf) {
  return asOf === null ? all.at(-1) : all.findLast((moment) => moment.version <= asOf);
}

/** Returns the entry with the last state change; undefined without one. */
function lastMove(all, asOf) {
  return all.findLast(
    (moment) => (asOf === null || moment.version <= asOf) && moment.from !== moment.to,
  );
}
