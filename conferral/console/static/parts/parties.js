// The people of a call and what each hears: one line for each, and in the margin who hears whom.

import { html } from "htm/preact";

import { Text, listed, printable } from "../shared/text.js";
import { Time } from "../shared/time.js";

/** People drawn and listed openly, at most (count); the rest of a crowd is folded. */
export const SHOWN_MAX = 12;
/** In the drawing's units: the height of a line, the width of the margin, and where arrows end in it. */
const HIGH = 40;
const WIDE = 44;
const END = 40;

/**
 * A session's parties.
 *
 * @param {{ parties: object[] }} props
 */
export function Parties({ parties }) {
  const there = parties.filter((party) => party.status !== "left");
  const gone = parties.filter((party) => party.status === "left");
  const names = new Map(there.map((party) => [party.name, party.person]));
  const openly = there.length > SHOWN_MAX + 1 ? SHOWN_MAX : there.length;
  const isDrawn = there.length > 1 && openly === there.length;
  return html`
    ${there.length ? null : html`<p class="muted">No one is on the call.</p>`}
    <div class=${isDrawn ? "people is-drawn" : "people"}>
      ${isDrawn ? html`<${Hearing} parties=${there} names=${names} />` : null}
      <${List} parties=${there.slice(0, openly)} names=${names} />
    </div>
    ${openly < there.length
      ? html`<details>
          <summary>Show ${there.length - openly} more people</summary>
          <${List} parties=${there.slice(openly)} names=${names} />
        </details>`
      : null}
    ${gone.length
      ? html`<p class="small muted gone">
          No longer on the call:${" "}
          ${gone.slice(0, SHOWN_MAX).map((one, place) => html`${place ? "; " : ""}<${Text} value=${one.person} /> (<${Text} value=${one.words.replace("left, ", "")} />)`)}
        </p>`
      : null}
  `;
}

function List({ parties, names }) {
  return html`<ul>
    ${parties.map(
      (party) => html`<li key=${party.name} class=${party.status === "connected" ? "person" : "person is-away"}>
        <p>
          <strong><${Text} value=${party.person} /></strong>
          <span class="small muted"><${Text} value=${party.name} /></span>
          <span class="person-state small muted"><${Text} value=${stateOf(party)} /> <${Time} at=${party.since} as="age" /></span>
        </p>
        <p class="small"><${Text} value=${said(party, names)} /></p>
      </li>`,
    )}
  </ul>`;
}

const stateOf = (party) => [party.held ? "on hold" : party.status, party.muted && "muted"].filter(Boolean).join(", ");

/** What a party hears, with people's names for roles, and without their own at the start. */
function said(party, names) {
  const words = party.words.startsWith(`${party.name} `) ? party.words.slice(party.name.length + 1) : party.words;
  return words.replace(/^is (?:on hold|parked|waiting) and /, "").replace(/[\w-]+/g, (word) => names.get(word) ?? word);
}

/** An arrow leads from each speaker to each listener; where both hear each other, it has two heads. */
function Hearing({ parties, names }) {
  const lines = linesBetween(parties);
  const words = parties.map((party) => `${party.person} ${said(party, names)}`);
  return html`<svg
    class="hearing"
    style=${{ height: `${(parties.length * HIGH) / 16}rem` }}
    viewBox=${`0 0 ${WIDE} ${parties.length * HIGH}`}
    role="img"
    aria-label=${`Who hears whom: ${printable(listed(words))}.`}
  >
    <defs>
      <marker id="sound" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto-start-reverse">
        <path d="M0 0 8 4 0 8z" fill="currentColor" />
      </marker>
    </defs>
    ${lines.map(({ from, to, both }) => {
      const [top, bottom] = [from, to].map((place) => (place + 0.5) * HIGH + (to > from ? 5 : -5) * (place === from ? 1 : -1));
      const reach = END - Math.min(38, 14 + 10 * Math.abs(to - from));
      return html`<path
        key=${`${from}-${to}`}
        class="sound"
        d=${`M${END} ${top} C${reach} ${top} ${reach} ${bottom} ${END} ${bottom}`}
        marker-end="url(#sound)"
        marker-start=${both ? "url(#sound)" : undefined}
      />`;
    })}
  </svg>`;
}

function linesBetween(parties) {
  const heard = new Set(parties.flatMap((party) => party.hears.map((other) => `${other}>${party.name}`)));
  const hears = (one, other) => heard.has(`${one.name}>${other.name}`);
  return parties.flatMap((one, from) =>
    parties.flatMap((other, to) => {
      const both = hears(one, other) && hears(other, one);
      return hears(one, other) && (!both || from < to) ? [{ from, to, both }] : [];
    }),
  );
}
