// The page: phones on one side, traffic on the other.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { Outcome } from "./action.js";
import { FaultPanel } from "./faults.js";
import { Guide } from "./guide.js";
import { retryNow } from "./socket.js";
import { isShown, NewPhone, Phone } from "./phone.js";
import { copied } from "./shared/copy.js";
import { clock, now, span, Time } from "./shared/time.js";
import { counted, Text } from "./shared/text.js";
import { debug, hello, sentences, link, messages, more, only, phones, rooms } from "./store.js";
import { Start } from "./start.js";
import { Debugger, Deliveries, Requests } from "./traffic.js";

const PANELS = {
  deliveries: { label: "Callbacks", Panel: Deliveries },
  requests: { label: "REST", Panel: Requests },
  breaking: { label: "Inject faults", Panel: FaultPanel },
  rooms: { label: "Conferences", Panel: Rooms },
  messages: { label: "Voicemail", Panel: Messages },
  debugger: { label: "Debugger", Panel: Debugger },
};
/** What the sandbox shows as JSON, by path. */
const LINKS = {
  calls: "calls",
  hearing: "who heard whom",
  requests: "request log",
};
const panel = signal("deliveries");
/** The whole page. */
export function Page() {
  const isOne = only.value !== "";
  const shown = phones.value.filter(isShown);
  return html`
    <${Header} />
    <${Link} />
    <main class=${isOne ? "one" : "all"}>
      <div class="playing">
        ${!isOne && hello.value?.command_line && html`<${Guide} />`}
        ${!isOne && hello.value?.command_line === "" && html`<${Start} />`}
        <${AudibilityPanel} />
        <div class="phones">
          ${shown.map((phone) => html`<${Phone} key=${phone.address} phone=${phone} alone=${isOne} />`)}
          ${isOne ? shown.length === 0 && html`<${Unknown} />` : html`<${NewPhone} />`}
        </div>
        ${!isOne && more.value > 0 && html`<p class="muted">${counted(more.value, "phone")} more, without a call.</p>`}
      </div>
      ${!isOne && html`<${Wires} />`}
    </main>
    <div class="said">
      <${Outcome} />
      <p role="status" class=${copied.value ? "outcome" : "unseen"}>${copied.value}</p>
    </div>
  `;
}

function Header() {
  return html`<header class="top">
    <h1>Offhook</h1>
    <p class="muted">A local Twilio, and its phones: no real phones are called</p>
  </header>`;
}

/** Warns when the connection is lost. */
function Link() {
  const { state, sinceMs } = link.value;
  if (state === "open") {
    return null;
  }
  if (state === "connecting") {
    return html`<p class="link" role="status">Connecting…</p>`;
  }
  now.value; // rerenders every second
  return html`<div class="link bad">
    <p role="alert">The sandbox does not answer. Data as of ${clock(sinceMs)}.</p>
    <span aria-hidden="true">${span(Date.now() - sinceMs)} ago</span>
    <button type="button" onClick=${retryNow}>Try now</button>
  </div>`;
}

function AudibilityPanel() {
  return html`<section class="hearing panel" aria-labelledby="hearing">
    <h2 id="hearing">Who hears whom</h2>
    <div role="status"><ul>
      ${
        sentences.value.length === 0
          ? html`<li class="muted">No one is on a call.</li>`
          : sentences.value.map((words, index) => html`<li key=${index}><${Text} value=${words} /></li>`)
      }
    </ul></div>
  </section>`;
}

function Unknown() {
  return html`<p>
    No phone here has the address <${Text} class="mono" value=${only.value} />. It appears when it is dialed.
    <a href="#">All phones</a>
  </p>`;
}

/** Traffic, one kind at a time. */
function Wires() {
  const { Panel } = PANELS[panel.value];
  return html`<div class="wires panel">
    <nav aria-label="Behind the scenes" class="panels">
      ${Object.entries(PANELS).map(
        ([name, { label }]) =>
          html`<button
            key=${name}
            type="button"
            aria-pressed=${name === panel.value ? "true" : "false"}
            onClick=${() => {
              panel.value = name;
            }}
          >
            ${label}${name === "debugger" && debug.value.length > 0 && ` (${debug.value.length})`}
          </button>`,
      )}
    </nav>
    <${Panel} />
    <nav aria-label="As JSON" class="small">
      ${Object.entries(LINKS).map(
        ([name, label]) => html`<a key=${name} href=${`./sandbox/${name}`}>${label}</a> `,
      )}
    </nav>
  </div>`;
}

/** What callers left on voicemail, as text. */
function Messages() {
  return html`<section aria-labelledby="messages">
    <h2 id="messages">Voicemail</h2>
    ${messages.value.length === 0 && html`<p class="muted">No messages.</p>`}
    <ul>
      ${messages.value.map(
        (it) =>
          html`<li key=${it.sid}>
            <${Time} at=${it.at} as="clock" /> <${Text} value=${it.caller} />
            ${it.mailbox && html`${" to "}<${Text} value=${it.mailbox} />`}, ${it.duration_s} s${": "}
            ${it.text ? html`“<${Text} value=${it.text} />”` : html`<span class="muted">${it.status}</span>`}
          </li>`,
      )}
    </ul>
  </section>`;
}

function Rooms() {
  return html`<section aria-labelledby="rooms">
    <h2 id="rooms">Conferences</h2>
    ${rooms.value.length === 0 && html`<p class="muted">No live conferences.</p>`}
    ${rooms.value.map(
      (room) =>
        html`<article key=${room.sid}>
          <h3><${Text} value=${room.name} /> <small class="muted">${room.status}</small></h3>
          <p class="mono small"><${Text} value=${room.sid} /></p>
          <ul>
            ${room.participants.map(
              (it) =>
                html`<li key=${it.call_sid}>
                  <${Text} value=${it.name} />
                  ${it.label && html`${" "}<${Text} class="muted" value=${it.label} />`}
                  ${": "}${[
                    it.status,
                    it.hold && "on hold",
                    it.muted && "muted",
                    it.coaching && "coaching",
                    it.end_on_exit && "ends the conference when leaving",
                  ]
                    .filter(Boolean)
                    .join(", ")}
                </li>`,
            )}
          </ul>
        </article>`,
    )}
  </section>`;
}
