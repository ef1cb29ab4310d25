// Traffic: webhook requests with their responses, REST requests, debugger entries.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { shortSpan, Time } from "./shared/time.js";
import { debug, deliveries, hello, requests } from "./store.js";
import { printable, Text } from "./shared/text.js";

const VERDICTS = { accepted: "signature accepted", refused: "signature refused", "": "" };
const KINDS = { "": "All kinds", voice: "TwiML", call: "calls", conference: "conferences", recording: "recordings", message: "text messages" };
const SIDS = /\b[A-Z]{2}[0-9a-f]{32}\b/g;
/** Parameters that summarize a REST request. */
const TELLING = new Set(["To", "Hold", "Muted", "Status", "EndConferenceOnExit", "Coaching", "AnnounceUrl"]);
const filter = signal({ text: "", kind: "", status: "" });
/** Entries with open details, by number. */
const opened = signal(new Set());

const isGood = (entry) => entry.status >= 200 && entry.status < 300;
const STATUSES = {
  "": { label: "All responses", fits: () => true },
  good: { label: "2xx", fits: isGood },
  bad: { label: "refused or failed", fits: (entry) => entry.attempts.length > 0 && !isGood(entry) },
  none: { label: "not sent", fits: (entry) => entry.attempts.length === 0 },
};

function matches(entry) {
  const { text, kind, status } = filter.value;
  if ((kind && entry.kind !== kind) || !STATUSES[status].fits(entry)) {
    return false;
  }
  const wanted = text.trim().toLowerCase();
  return (
    !wanted ||
    [entry.url, entry.event, ...entry.params.flat()].some((value) => value.toLowerCase().includes(wanted))
  );
}

/** Webhook requests, newest first. */
export function Deliveries() {
  const shown = deliveries.value.filter(matches);
  const choose = (name) => (event) => {
    filter.value = { ...filter.value, [name]: event.target.value };
  };
  return html`<section aria-labelledby="deliveries">
    <h2 id="deliveries">Callbacks and requests for TwiML</h2>
    ${hello.value?.keeps && html`<p class="muted small">Keeps the latest <${Text} value=${hello.value.keeps} />; older ones are discarded.</p>`}
    <div class="filters">
      <label class="wide">
        <span class="unseen">Show only entries containing</span>
        <input type="search" placeholder="call SID, session, number, event…" onInput=${choose("text")} />
      </label>
      <label>
        <span class="unseen">Kind</span>
        <select onChange=${choose("kind")}>
          ${Object.entries(KINDS).map(([kind, label]) => html`<option key=${kind} value=${kind}>${label}</option>`)}
        </select>
      </label>
      <label>
        <span class="unseen">Answer</span>
        <select onChange=${choose("status")}>
          ${Object.entries(STATUSES).map(([name, it]) => html`<option key=${name} value=${name}>${it.label}</option>`)}
        </select>
      </label>
    </div>
    ${
      shown.length === 0
        ? html`<p class="muted">${deliveries.value.length ? "No entry matches." : "Nothing has been sent yet."}</p>`
        : html`<ol class="wire">${shown.map((entry) => html`<${Delivery} key=${entry.number} entry=${entry} />`)}</ol>`
    }
  </section>`;
}

function Delivery({ entry }) {
  const isOpen = opened.value.has(entry.number);
  const toggle = (event) => {
    if (event.currentTarget.open !== isOpen) {
      const next = new Set(opened.value);
      isOpen ? next.delete(entry.number) : next.add(entry.number);
      opened.value = next;
    }
  };
  return html`<li>
    <details open=${isOpen} onToggle=${toggle}>
      <summary class=${answerClass(entry)}>
        <${Time} at=${entry.at} as="fine" />
        <b>${entry.kind === "voice" ? "TwiML" : printable(entry.event)}</b>
        ${entry.who && html`<${Text} value=${entry.who} />`}
        <span class="path"><${Text} value=${entry.path} /></span>
        <span class="answer">${answer(entry)}</span>
        ${entry.fault && html`<span class="tag">${entry.fault}</span>`}
      </summary>
      ${isOpen && html`<${Details} entry=${entry} />`}
    </details>
  </li>`;
}

function answer(entry) {
  const tries = entry.attempts.length;
  if (tries === 0) {
    return entry.fault === "lost" ? "never sent" : "in progress";
  }
  const last = entry.attempts.at(-1);
  const verdict = VERDICTS[entry.verdict];
  return [
    last.status || `no answer (${printable(last.failure)})`,
    shortSpan(entry.duration_ms),
    tries > 1 && `${tries} times`,
    entry.verdict === "refused" && verdict,
  ]
    .filter(Boolean)
    .join(", ");
}

function answerClass(entry) {
  return entry.attempts.length && !isGood(entry) ? "failed" : "";
}

function Details({ entry }) {
  return html`<div class="details">
    <p><b>No. ${entry.number}</b> ${entry.method} <${Text} class="mono" value=${entry.url} /></p>
    <p>${VERDICTS[entry.verdict] || "signature not checked yet"}</p>
    <${Pairs} caption="Parameters" pairs=${entry.params} />
    <${Pairs} caption="Headers" pairs=${Object.entries(entry.headers)} />
    ${
      entry.attempts.length > 0 &&
      html`<table>
        <caption>
          Attempts
        </caption>
        <tr>
          <th scope="col">at</th>
          <th scope="col">answer</th>
          <th scope="col">took</th>
        </tr>
        ${entry.attempts.map(
          (it, index) =>
            html`<tr key=${index}>
              <td><${Time} at=${it.at} as="fine" /></td>
              <td>${it.status || `none (${printable(it.failure)})`}</td>
              <td>${shortSpan(it.duration_ms)}</td>
            </tr>`,
        )}
      </table>`
    }
    ${
      entry.answer &&
      html`<h3>Answer <small class="muted">${printable(entry.answer_type)}</small></h3>
        <pre tabindex="0" aria-label="Answer">${entry.answer
          .split("\n")
          .map((line, index) => html`<${Text} key=${index} value=${line} />${"\n"}`)}</pre>`
    }
  </div>`;
}

function Pairs({ caption, pairs }) {
  if (pairs.length === 0) {
    return null;
  }
  return html`<table class="pairs">
    <caption>
      ${caption}
    </caption>
    ${pairs.map(
      ([name, value], index) =>
        html`<tr key=${index}>
          <th scope="row"><${Text} value=${name} /></th>
          <td class="mono"><${Text} value=${value} /></td>
        </tr>`,
    )}
  </table>`;
}

/** REST requests, newest first. */
export function Requests() {
  return html`<section aria-labelledby="requests">
    <h2 id="requests">REST requests</h2>
    ${
      requests.value.length === 0
        ? html`<p class="muted">None yet.</p>`
        : html`<ol class="wire">${requests.value.map((it) => html`<${Request} key=${it.number} entry=${it} />`)}</ol>`
    }
  </section>`;
}

/** Returns a short summary of a request: its first few parameters. */
function wish(entry) {
  const said = entry.params.filter(([name]) => TELLING.has(name)).map(([name, value]) => `${name}=${value}`);
  return said.slice(0, 2).join(", ");
}

function Request({ entry }) {
  const failed = entry.status >= 400 || entry.fault.startsWith("cut");
  const said = entry.status || (entry.fault.startsWith("cut") ? "connection dropped" : "in progress");
  return html`<li>
    <details>
      <summary class=${failed ? "failed" : ""}>
        <${Time} at=${entry.at} as="fine" />
        <b>${printable(entry.method)}</b>
        ${entry.who && html`<${Text} value=${entry.who} />`}
        <span class="path"><${Text} value=${entry.path.replace(SIDS, (sid) => `${sid.slice(0, 6)}…`)} /></span>
        <span class="path"><${Text} value=${wish(entry)} /></span>
        <span class="answer">${said}${entry.code ? `, ${entry.code}` : ""}, ${shortSpan(entry.duration_ms)}</span>
        ${entry.fault && html`<span class="tag">${entry.fault}</span>`}
      </summary>
      <div class="details">
        <p class="mono"><${Text} value=${entry.path} /></p>
        <p>${entry.applied ? "It took effect." : "It had no effect."}</p>
        ${entry.code > 0 && html`<p>Twilio error ${entry.code}</p>`}
        <${Pairs} caption="Parameters" pairs=${entry.params} />
      </div>
    </details>
  </li>`;
}

/** Twilio debugger entries, newest first. */
export function Debugger() {
  return html`<section aria-labelledby="debugger">
    <h2 id="debugger">Debugger</h2>
    ${
      debug.value.length === 0
        ? html`<p class="muted">No errors, no warnings.</p>`
        : html`<ul class="wire">
            ${debug.value.map(
              (it) =>
                html`<li key=${it.number}>
                  <b>${it.level}${it.code > 0 && ` ${it.code}`}</b> <${Text} value=${it.message} /> ${" "}
                  <${Text} class="muted mono small" value=${it.url || it.call_sid} />
                </li>`,
            )}
          </ul>`
    }
  </section>`;
}
