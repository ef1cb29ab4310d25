// Banner above everything, for lost connections and rejected actions.

import { html } from "htm/preact";

import { refused } from "../actions.js";
import { retryNow } from "../socket.js";
import { asOf, link, redisError, summary } from "../store.js";
import { counted, Text } from "../shared/text.js";
import { clock, now, span } from "../shared/time.js";

/** Shows that the connection is lost, since when, and how old the data is. */
export function Banner() {
  return html`<div class="banners">
    <div role="alert">${isLost() ? html`<span class="unseen">The connection to the console's server is lost.</span>` : null}</div>
    ${isLost() ? html`<${Lost} />` : null}
    <div role="alert">
      ${link.value.state === "open" && redisError.value
        ? html`<p class="banner is-bad">
            <strong>No updates from Redis.</strong>
            <span>${asOf.value ? `Data as of ${clock(asOf.value)}.` : "No data received yet."} <${Text} value=${redisError.value} /></span>
          </p>`
        : null}
    </div>
    <div role="status"><${LostWorkers} found=${summary.value?.lost_workers} /></div>
    <div role="alert">
      ${refused.value
        ? html`<p class="banner is-bad">
            <strong>Action failed:</strong> <${Text} value=${refused.value} />
            <button type="button" onClick=${() => (refused.value = "")}>Close</button>
          </p>`
        : null}
    </div>
  </div>`;
}

const isLost = () => link.value.state === "lost";

/** Workers have died: shows how many partitions, and with them their calls, wait for another one. */
function LostWorkers({ found }) {
  if (!found) {
    return null;
  }
  const count = found.waiting.length;
  return html`<p class="banner is-note">
    <strong>${counted(found.names.length, "worker")} died: <${Text} value=${found.names.join(", ")} class="mono" />.</strong>
    <span>
      ${count
        ? `${counted(count, "partition")} ${count === 1 ? "is" : "are"} waiting for another worker.`
        : "Other workers took over all calls."}
    </span>
  </p>`;
}

/** Updates every second, so it isn't an alert itself: screen readers would repeat it. */
function Lost() {
  const nowMs = now.value && Date.now();
  const { sinceMs, retryMs } = link.value;
  const inMs = retryMs - nowMs;
  const next = inMs > 0 ? `retrying in ${span(inMs + 999)}` : "trying now";
  return html`<p class="banner is-bad">
    <strong>Disconnected for ${span(nowMs - sinceMs)};</strong>
    <span>${asOf.value ? `data as of ${clock(asOf.value)}` : "no data received yet"}; ${next}</span>
    <button type="button" onClick=${retryNow}>Try now</button>
  </p>`;
}
