// What a session waits for.

import { html } from "htm/preact";

import { Text } from "../shared/text.js";
import { age, now, shortSpan, span, toMs } from "../shared/time.js";

/** What the server reports while the parties just talk. */
const CONVERSATION = "a party to hang up";
/** Who or what acts next, in a word. */
const BY = { timer: "automatic", twilio: "Twilio", person: "a person", worker: "a worker", sweep: "sweep" };

/**
 * What the session waits for, besides the people to finish; nothing if that is all.
 *
 * @param {{ waits: object[] }} props
 */
export function PendingList({ waits }) {
  const [first, ...others] = waits.filter((wait) => wait.for !== CONVERSATION && isNews(wait));
  if (!first) {
    return null;
  }
  return html`<div class="waits small">
    <span class="muted">${first.by === "timer" ? "Next:" : "Waiting for"}</span> <${WaitItem} wait=${first} />
    ${others.length
      ? html`<details>
          <summary>Also pending: ${others.length}</summary>
          <ul>
            ${others.map((wait) => html`<li key=${wait.for}><${WaitItem} wait=${wait} /></li>`)}
          </ul>
        </details>`
      : null}
  </div>`;
}

/** How far away an automatic step is not worth a line, in milliseconds. */
const FAR_MS = 3_600_000;

/** Whether a wait says more than what goes for every call: that a sweep follows, and that calls have a longest duration. */
function isNews(wait) {
  const comes = toMs(wait.comes_at);
  return wait.by !== "sweep" && !(wait.by === "timer" && comes && comes - now.value > FAR_MS);
}

function WaitItem({ wait }) {
  const since = toMs(wait.since);
  const comes = toMs(wait.comes_at);
  const notes = [BY[wait.by] ?? wait.by, since && `for ${age(since)}`, comes && comesIn(comes)].filter(Boolean);
  return html`<span><${Text} value=${wait.for} /> <span class="muted small">(${notes.join(", ")})</span></span>`;
}

function comesIn(atMs) {
  const leftMs = atMs - now.value;
  if (leftMs < 0) {
    return `due ${span(-leftMs)} ago`;
  }
  return leftMs < 1000 ? "due now" : `in ${leftMs < 60_000 ? span(leftMs) : shortSpan(leftMs)}`;
}
