// The health strip: numbers, each a link to rows. For the last hour's transfers, the rows differ from what was
// counted (a session may have had several transfers, or have expired), and the tile says so.

import { html } from "htm/preact";

import { isStale, summary } from "../store.js";
import { Time } from "../shared/time.js";
import { to } from "../route.js";

const number = (value, digits = 0) =>
  typeof value === "number"
    ? value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    : "–";

const NOT_THE_SAME = "Counts transfers that finished in the last hour. The link shows";

const calls = (count) => (count === 1 ? "call" : "calls");

/** Below this many transfers, a failure rate says too little to be red (count). */
const RED_FROM = 5;

const WITH_ONE = "every call that ever had a transfer.";

/**
 * Returns the tiles: label, value, unit, link, whether it is bad, and a note if the link's rows differ from the count.
 */
function tiles({ counts, hour }) {
  const lately = { ended: "1h", only: "transfers" };
  return [
    ["Live calls", number(counts.live), calls(counts.live), to("sessions", "", {}), ""],
    ["Needs attention", number(counts.troubled), calls(counts.troubled), to("sessions", "", { only: "trouble" }), counts.troubled ? "warn" : ""],
    [
      "Waiting",
      number(counts.held),
      counts.held_since ? html`longest <${Time} at=${counts.held_since} as="age" />` : calls(counts.held),
      to("sessions", "", { only: "held", sort: "waiting" }),
      "",
    ],
    ["Left alone", number(counts.lone), calls(counts.lone), to("sessions", "", { only: "lone" }), counts.lone ? "bad" : ""],
    ["Transfers", number(hour.transfers), "last hour", to("sessions", "", lately), "", `${NOT_THE_SAME} ${WITH_ONE}`],
    [
      "Failed transfers",
      number(hour.failed),
      hour.transfers ? `of ${number(hour.transfers)} (last hour)` : "last hour",
      to("sessions", "", { ended: "1h", only: "failed" }),
      hour.failed_percent >= 10 && hour.transfers >= RED_FROM ? "bad" : hour.failed ? "warn" : "",
      `${NOT_THE_SAME} every call whose last transfer failed.`,
    ],
    [
      "Answered (p95)",
      typeof hour.answer_p95_s === "number" ? `${number(hour.answer_p95_s, 1)} s` : "–",
      "last hour",
      to("sessions", "", lately),
      "",
      `${NOT_THE_SAME} ${WITH_ONE}`,
    ],
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
