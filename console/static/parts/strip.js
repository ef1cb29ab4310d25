// The health strip: five numbers, each a link to the rows behind it.

import { html } from "htm/preact";

import { isBlind, summary } from "../store.js";
import { to } from "../route.js";

const number = (value, digits = 0) =>
  typeof value === "number"
    ? value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    : "–";

/** What the tiles show: label, value, unit, where to, and whether it is bad. */
function tiles({ counts, hour, dead }) {
  const lately = { ended: "1", only: "transfers" };
  return [
    ["Live", number(counts.live), "sessions", to("sessions", "", {}), ""],
    ["In trouble", number(counts.troubled), "sessions", to("sessions", "", { only: "trouble" }), counts.troubled ? "warn" : ""],
    ["Lone now", number(counts.lone), "sessions", to("sessions", "", { only: "lone" }), counts.lone ? "bad" : ""],
    ["Transfers", number(hour.transfers), "last hour", to("sessions", "", lately), ""],
    [
      "Failed",
      hour.transfers ? `${number(hour.failed_percent, 1)} %` : "–",
      `${number(hour.failed)} last hour`,
      to("sessions", "", { ended: "1", only: "failed" }),
      hour.failed_percent >= 10 ? "bad" : hour.failed ? "warn" : "",
    ],
    [
      "Answer, p95",
      typeof hour.answer_p95_s === "number" ? `${number(hour.answer_p95_s, 1)} s` : "–",
      "last hour",
      to("sessions", "", lately),
      "",
    ],
    ["Dead letters", number(dead), "entries", to("dead"), dead ? "warn" : ""],
  ];
}

/** The strip; it keeps its height before anything is known. */
export function Strip() {
  const known = summary.value ?? { counts: {}, hour: {} };
  return html`<ul class=${`strip ${isBlind.value ? "is-blind" : ""}`} aria-label="Health at a glance">
    ${tiles(known).map(
      ([label, value, unit, address, kind]) => html`<li key=${label}>
        <a class=${`tile ${kind ? `is-${kind}` : ""}`} href=${address}>
          <span class="tile-label">${label}</span>
          <span class="tile-value">${value}</span>
          <span class="tile-unit">${unit}</span>
        </a>
      </li>`,
    )}
  </ul>`;
}
