// The parties, and who hears whom: as a diagram, and in sentences.

import { html } from "htm/preact";

import { Copyable } from "../shared/copy.js";
import { Text, printable } from "../shared/text.js";

/** Dimensions in SVG units: width of a party, height of its box, and space for arcs above and below. */
const WIDE = 132;
const HIGH = 30;
const ARC = 24;
/** Parties drawn and listed openly, at most (count); the list of a crowd is folded. */
export const SHOWN_MAX = 12;

/**
 * A session's parties.
 *
 * @param {{ parties: object[], links: Record<string, string> }} props
 */
export function Parties({ parties, links }) {
  if (!parties.length) {
    return html`<p class="muted">No parties.</p>`;
  }
  const there = parties.filter((party) => party.status !== "left");
  const openly = parties.length > SHOWN_MAX + 1 ? SHOWN_MAX : parties.length;
  const folded = parties.slice(openly);
  return html`
    ${there.length > 1 && there.length <= SHOWN_MAX ? html`<${Hearing} parties=${there} />` : null}
    <${List} parties=${parties.slice(0, openly)} links=${links} />
    ${folded.length
      ? html`<details class="more-parties">
          <summary>Show ${folded.length} more parties</summary>
          <${List} parties=${folded} links=${links} />
        </details>`
      : null}
  `;
}

function List({ parties, links }) {
  return html`<ul class="parties">
    ${parties.map((party) => html`<${Party} key=${party.name} party=${party} link=${links?.[party.call_sid]} />`)}
  </ul>`;
}

function Party({ party, link }) {
  const marks = [party.status, party.held && "on hold", party.muted && "muted"].filter(Boolean);
  return html`<li class=${party.status === "left" ? "party is-over" : "party"}>
    <div class="party-head">
      <strong><${Text} value=${party.name} /></strong>
      <span class="mono"><${Text} value=${party.address} /></span>
      <span class="small muted"><${Text} value=${marks.join(", ")} /></span>
    </div>
    ${party.words ? html`<p><${Text} value=${party.words} /></p>` : null}
    <p class="small muted">
      <${Copyable} value=${party.call_sid} what="the call SID" />
      ${link ? html` <a href=${link} target="_blank" rel="noopener noreferrer">view in Twilio</a>` : null}
      ${party.label ? html` label <${Copyable} value=${party.label} what="the label" />` : null}
    </p>
  </li>`;
}

/** An arrow leads from each speaker to each listener; mutual hearing is one line with two heads. */
function Hearing({ parties }) {
  const names = parties.map((party) => party.name);
  const lines = linesBetween(parties, names);
  const width = parties.length * WIDE;
  const reach = Math.max(1, ...lines.map(({ from, to }) => Math.abs(to - from)));
  const above = 8 + reach * ARC;
  const below = lines.some((line) => line.isBelow) ? above : 4;
  const words = parties.map((party) => party.words).filter(Boolean).join(". ");
  const label = `Who hears whom: ${printable(words)}.`;
  return html`<svg class="hearing" style=${{ maxWidth: `${width * 1.15}px` }} viewBox=${`0 0 ${width} ${above + HIGH + below}`} role="img" aria-label=${label}>
    <defs>
      <marker id="sound" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
        <path d="M0 0 8 4 0 8z" fill="currentColor" />
      </marker>
    </defs>
    ${lines.map((line) => html`<${Arc} key=${`${line.from}-${line.to}`} line=${line} above=${above} />`)}
    ${parties.map((party, place) => html`<${Box} key=${party.name} party=${party} x=${place * WIDE} y=${above} />`)}
    ${lines.length ? null : html`<text x=${width / 2} y=${above - 10} class="hearing-none">no audio between parties</text>`}
  </svg>`;
}

function linesBetween(parties, names) {
  const heard = new Set(parties.flatMap((party) => party.hears.map((other) => `${other}>${party.name}`)));
  const lines = [];
  names.forEach((name, from) => {
    names.forEach((other, to) => {
      const both = heard.has(`${name}>${other}`) && heard.has(`${other}>${name}`);
      if (both && from < to) {
        lines.push({ from, to, both, isBelow: false });
      } else if (!both && heard.has(`${name}>${other}`)) {
        lines.push({ from, to, both, isBelow: true });
      }
    });
  });
  return lines;
}

function Arc({ line, above }) {
  const { from, to, both, isBelow } = line;
  const spread = 14 * Math.sign(to - from);
  const x1 = (from + 0.5) * WIDE + spread;
  const x2 = (to + 0.5) * WIDE - spread;
  const y = isBelow ? above + HIGH : above;
  const bend = Math.abs(to - from) * ARC * (isBelow ? 1 : -1) * 1.25;
  return html`<path
    class="sound"
    d=${`M${x1} ${y} C${x1} ${y + bend} ${x2} ${y + bend} ${x2} ${y}`}
    marker-end="url(#sound)"
    marker-start=${both ? "url(#sound)" : undefined}
  />`;
}

function Box({ party, x, y }) {
  const isThere = party.status === "connected";
  const name = printable(party.name);
  const mark = party.held ? "on hold" : party.muted ? "muted" : isThere ? "" : party.status;
  return html`<g class=${isThere ? "hearer" : "hearer is-away"}>
    <rect x=${x + 6} y=${y} width=${WIDE - 12} height=${HIGH} rx="6" />
    <text x=${x + WIDE / 2} y=${y + (mark ? 13 : 19)}>${name.length > 16 ? `${name.slice(0, 15)}…` : name}</text>
    ${mark ? html`<text class="hearer-mark" x=${x + WIDE / 2} y=${y + 25}>${printable(mark)}</text>` : null}
  </g>`;
}
