// Timeline of a session, with intervals in milliseconds; requests to Twilio appear below the entries that caused them.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { newestFirst } from "../store.js";
import { counted, Text, printable } from "../shared/text.js";
import { Time, shortSpan, toMs } from "../shared/time.js";
import { Mark, State } from "./badges.js";

/** Entries rendered initially, and with each press of the button (count): a log may have thousands. */
const DRAWN = 200;

const drawn = signal(DRAWN);
let drawnOf = "";

/**
 * The timeline.
 *
 * @param {object} props
 * @param {string} props.of The session's id.
 * @param {object[]} props.moments Oldest first.
 * @param {string} props.firstFailure Id of the first entry that failed; empty for none.
 */
export function Timeline({ of, moments, firstFailure }) {
  if (drawnOf !== of) {
    drawnOf = of;
    drawn.value = DRAWN;
  }
  const [wanted, confirmations] = folded(moments);
  const hidden = Math.max(0, wanted.length - drawn.value);
  const shown = wanted.slice(hidden);
  const earlier = hidden
    ? html`<li key="earlier" class="moment-more">
        <button type="button" onClick=${() => (drawn.value += DRAWN)}>
          Show ${Math.min(hidden, DRAWN)} earlier events (of ${hidden.toLocaleString("en")})
        </button>
      </li>`
    : null;
  const items = shown.map(
    (moment, place) => html`<${Moment}
      key=${moment.entry}
      moment=${moment}
      confirmations=${confirmations.get(moment.entry) ?? NONE}
      gapMs=${place ? toMs(moment.at) - toMs(shown[place - 1].at) : 0}
      isFirstFailure=${moment.entry === firstFailure}
    />`,
  );
  const ordered = [earlier, ...items];
  return html`<ol class="timeline" aria-label="Timeline" reversed=${newestFirst.value}>
    ${newestFirst.value ? ordered.reverse() : ordered}
  </ol>`;
}

const NONE = [];

/** Returns the entries without those that only confirm another, and the confirmations by the entry that they confirm. */
function folded(moments) {
  const wanted = [];
  const confirmations = new Map();
  const rowOf = new Map();
  for (const moment of moments) {
    const row = moment.is_confirmation ? (rowOf.get(moment.requested_by) ?? wanted.at(-1)?.entry) : undefined;
    if (row === undefined) {
      wanted.push(moment);
    } else {
      confirmations.set(row, [...(confirmations.get(row) ?? []), moment]);
    }
    rowOf.set(moment.entry, row ?? moment.entry);
  }
  return [wanted, confirmations];
}

/** Scrolls to an entry, rendering it if necessary, and focuses it. */
export function showMoment(entryId, moments) {
  const place = moments.findIndex((moment) => moment.entry === entryId);
  if (place >= 0) {
    drawn.value = Math.max(drawn.value, moments.length - place + 5);
    requestAnimationFrame(() => {
      const element = document.getElementById(`moment-${entryId}`);
      element?.scrollIntoView({ block: "center" });
      element?.focus({ preventScroll: true });
    });
  }
}

function Moment({ moment, confirmations, gapMs, isFirstFailure }) {
  const marks = {
    "is-failure": moment.is_failure,
    "is-first": isFirstFailure,
  };
  const name = ["moment", ...Object.keys(marks).filter((mark) => marks[mark])].join(" ");
  const moved = moment.from !== moment.to;
  return html`<li class=${name} id=${`moment-${moment.entry}`} tabindex="-1">
    <div class="moment-when">
      <span class="moment-version"><span class="unseen">version </span>${moment.version}</span>
      <${Time} at=${moment.at} as="fine" />
      <span class="gap">${gapMs > 0 ? `+${shortSpan(gapMs)}` : ""}</span>
    </div>
    <div class="moment-what">
      <p>
        <${FailureMark} moment=${moment} isFirstFailure=${isFirstFailure} />
        <${Text} value=${moment.what} />
        ${moved ? html` <span class="moved">→ <${State} state=${moment.to} /></span>` : null}
        ${moment.outcome === "stale" ? html` <span class="muted small">(no change)</span>` : null}
      </p>
      <${ReasonAndReports} moment=${moment} />
      ${moment.effects.length ? html`<ul class="effects">${moment.effects.map((one) => html`<${Effect} key=${one.id} effect=${one} />`)}</ul>` : null}
      ${confirmations.length ? html`<${Confirmations} of=${confirmations} />` : null}
    </div>
  </li>`;
}

function Confirmations({ of }) {
  return html`<details class="confirmations">
    <summary>${counted(of.length, "confirmation")}</summary>
    <ul class="effects small muted">
      ${of.map((one) => html`<li key=${one.entry}><${Time} at=${one.at} as="fine" /> <${Text} value=${one.what} />${one.outcome === "stale" ? " (no change)" : null}</li>`)}
    </ul>
  </details>`;
}

/** Shows whether something went wrong; a refused command has changed nothing. */
function FailureMark({ moment, isFirstFailure }) {
  if (moment.outcome === "refused") {
    return html`<${Mark} kind="warn">refused<//> `;
  }
  return moment.is_failure ? html`<${Mark} kind="warn">${isFirstFailure ? "first failure" : "failed"}<//> ` : null;
}

/** Shows the reason, and the outcomes of commands. */
function ReasonAndReports({ moment }) {
  const said = [moment.reason, ...moment.reports].filter((line) => line && !moment.what.includes(line));
  return said.length ? html`<p class="small muted"><${Text} value=${said.join("; ")} /></p>` : null;
}

const KINDS = { succeeded: "good", failed: "warn", unknown: "warn" };
const WORDS = { succeeded: "done", failed: "not done", unknown: "outcome unknown" };

function Effect({ effect }) {
  const { outcome, took_ms: tookMs } = effect;
  const word = effect.is_refused ? "refused by Twilio" : WORDS[outcome] ?? printable(outcome);
  const took = tookMs === null ? "" : ` after ${shortSpan(tookMs)}`;
  return html`<li class="effect">
    <span>asks Twilio to <${Text} value=${effect.what} /></span>
    <${Mark} kind=${KINDS[outcome] ?? "plain"}>${outcome ? `${word}${took}` : "no response yet"}<//>
    <${Code} code=${effect.twilio_code} />
    ${effect.attempts_note ? html`<span class="small muted"><${Text} value=${effect.attempts_note} /></span>` : null}
  </li>`;
}

/** Twilio's error code, linked to Twilio's page about it. */
export function Code({ code }) {
  if (!code) {
    return null;
  }
  const address = `https://www.twilio.com/docs/api/errors/${encodeURIComponent(code)}`;
  return html`<a href=${address} target="_blank" rel="noopener noreferrer">Twilio error ${code}</a>`;
}
