// The health strip: seven numbers, each a link to rows. For the last hour's transfers, the rows differ from what was
// counted (a session may have had several transfers, or have expired), and the tile says so.

import { html } from "htm/preact";

import { isStale, summary } from "../store.js";
import { Time } from "../shared/time.js";
import { to } from "../route.js";

const number = (value, digits = 0) =>
  typeof value === "number"
    ? value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    : "–";

const NOT_THE_SAME = "Counted: transfers that were finished within the last hour. The link leads to";

/** Below this many transfers, a failure rate says too little to be red (count). */
const RED_FROM = 5;

const WITH_ONE = "the sessions with a transfer, whenever that was.";

/**
 * Returns the tiles: label, value, unit, link, whether it is bad, and a note if the link's rows differ from the count.
 */
function tiles({ counts, hour, dead }) {
  const lately = { ended: "1", only: "transfers" };
  return [
    ["Live", number(counts.live), "sessions", to("sessions", "", {}), ""],
    ["Needs attention", number(counts.troubled), "sessions", to("sessions", "", { only: "trouble" }), counts.troubled ? "warn" : ""],
    [
      "Waiting or on hold",
      number(counts.held),
      counts.held_since ? html`longest <${Time} at=${counts.held_since} as="age" />` : "calls",
      to("sessions", "", { only: "held", sort: "held" }),
      "",
    ],
    ["Lone now", number(counts.lone), "sessions", to("sessions", "", { only: "lone" }), counts.lone ? "bad" : ""],
    ["Transfers", number(hour.transfers), "last hour", to("sessions", "", lately), "", `${NOT_THE_SAME} ${WITH_ONE}`],
    [
      "Failed",
      hour.transfers ? `${number(hour.failed_percent, 1)} %` : "–",
      `${number(hour.failed)} last hour`,
      to("sessions", "", { ended: "1", only: "failed" }),
      hour.failed_percent >= 10 && hour.transfers >= RED_FROM ? "bad" : hour.failed ? "warn" : "",
      `${NOT_THE_SAME} the sessions whose newest transfer failed, whenever that was.`,
    ],
    [
      "Answer, p95",
      typeof hour.answer_p95_s === "number" ? `${number(hour.answer_p95_s, 1)} s` : "–",
      "last hour",
      to("sessions", "", lately),
      "",
      `${NOT_THE_SAME} ${WITH_ONE}`,
    ],
    ["Dead letters", number(dead), "entries", to("dead"), dead ? "warn" : ""],
  ];
}

/** The strip; it reserves its height before data arrives. */
export function HealthStrip() {
  const known = summary.value ?? { counts: {}, hour: {} };
  return html`<ul class=${`strip ${isStale.value ? "is-blind" : ""}`} aria-label="Health at a glance">
    ${tiles(known).map(
      ([label, value, unit, address, kind, leadsTo]) => html`<li key=${label}>
        <a class=${`tile ${kind ? `is-${kind}` : ""}`} href=${address} title=${leadsTo}>
          <span class="tile-label">${label}</span>
          <span class="tile-value">${value}</span>
          <span class="tile-unit">${unit}</span>
        </a>
      </li>`,
    )}
  </ul>`;
}
