// What the desk shows: the agent's state, what is wrong, who calls, the call, and calls that wait.

import { html } from "./shared/html.js";
import { printable, Text } from "./shared/text.js";
import { Time } from "./shared/time.js";
import { CallCard, Facts } from "./call-view.js";
import { REPLACED } from "./api.js";
import { AudioForm, DestinationForm } from "./forms.js";
import { nameOf, ownLeg } from "./session.js";

const STATES = {
  away: "Away",
  starting: "Starting…",
  ready: "Ready",
  waiting: "Ready elsewhere",
};

/** @param {{ desk: import("./desk.js").Desk }} props */
export function View({ desk }) {
  const call = desk.current.value;
  return html`<div class="desk" role="region" aria-label="Desk">
    <${Top} desk=${desk} />
    <${Troubles} desk=${desk} />
    <${Incoming} desk=${desk} />
    ${call ? html`<${CallCard} desk=${desk} at=${call} />` : html`<${Idle} desk=${desk} />`}
    <${Missed} desk=${desk} />
  </div>`;
}

function Top({ desk }) {
  const state = desk.state.value;
  const isOnCall = Boolean(desk.phone.call.value);
  const isReachable = state !== "ready" || desk.phone.isRegistered.value;
  const word = isOnCall ? "On a call" : isReachable ? STATES[state] : "Connecting the phone…";
  const isAudio = desk.panel.value === "audio" && Boolean(desk.phone.devices.value);
  return html`<header>
    <span class=${`dot is-${isOnCall ? "busy" : isReachable ? state : "starting"}`} aria-hidden="true"></span>
    <div class="who">
      <strong><${Text} value=${desk.presence.value?.name || desk.identity.value || "No agent"} /></strong>
      <span class="small muted" role="status">${word}</span>
    </div>
    ${desk.phone.devices.value
      ? html`<button type="button" class="quiet" aria-expanded=${isAudio} onClick=${() => desk.open(isAudio ? "" : "audio")}>Audio</button>`
      : null}
    ${state === "away"
      ? html`<button type="button" class="main" aria-disabled=${!desk.hasToken.value} onClick=${() => desk.hasToken.value && desk.goReady()}>Go ready</button>`
      : html`<button type="button" aria-disabled=${state === "starting"} onClick=${() => state !== "starting" && desk.goAway()}>Go away</button>`}
    ${isAudio ? html`<${AudioForm} desk=${desk} />` : null}
  </header>`;
}

/** Everything that is wrong now, the worst first. */
function Troubles({ desk }) {
  return html`<div class="notices">
    <div role="alert">
      <${Link} desk=${desk} />
      ${desk.phone.trouble ? html`<p class="notice is-warn">${desk.phone.trouble}</p>` : null}
      ${desk.notices.value.map(
        ({ id, kind, text }) => html`<p key=${id} class=${`notice is-${kind}`}>
          <${Text} value=${text} />
          <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => desk.dismiss(id)}>✕</button>
        </p>`,
      )}
    </div>
    ${desk.state.value === "waiting" && !desk.phone.call.value
      ? html`<p class="notice is-info">You are ready in another browser, which takes the calls. Go away there to take them here.</p>`
      : null}
    <${LostLeg} desk=${desk} />
  </div>`;
}

function Link({ desk }) {
  const trouble = desk.trouble.value;
  if (!desk.hasToken.value) {
    return html`<p class="notice is-info">This desk has no token yet. Sign in to take calls.</p>`;
  }
  if (!trouble) {
    return null;
  }
  if (trouble.status === 401) {
    const more = desk.phone.call.value ? " Your call goes on; you can hang up, mute, and send digits." : "";
    return html`<p class="notice is-bad">Your sign-in has expired or was withdrawn. Sign in again.${more}</p>`;
  }
  return trouble.status === 0 || trouble.status >= 500
    ? html`<p class="notice is-bad">
        <${Text} value=${desk.lost.value} />
        ${trouble.type === REPLACED ? html`<button type="button" onClick=${() => desk.connect()}>Connect here</button>` : null}
      </p>`
    : html`<p class="notice is-bad"><${Text} value=${trouble.message} /></p>`;
}

/** After a reload, the agent's own call may still be live, without this browser. */
function LostLeg({ desk }) {
  const isLost = (session) => ownLeg(session, desk.identity.value)[1].is_lost;
  const lost = desk.state.value === "away" && [...desk.sessions.value.values()].find(isLost);
  return lost && !desk.phone.call.value
    ? html`<p class="notice is-warn">
        Your line was lost. Go ready to take the call with <${Text} value=${nameOf(lost.parties.customer?.address)} /> back.
      </p>`
    : null;
}

function Incoming({ desk }) {
  const at = desk.rings.incoming.value;
  if (!at) {
    return null;
  }
  const about = desk.about(at);
  const isBusy = Boolean(desk.phone.call.value);
  return html`<section class="card is-incoming" aria-label="Incoming call">
    <p class="small muted" role="alert">Incoming call<span class="unseen"> from <${Text} value=${about.from} /></span></p>
    <h2><${Text} value=${about.from} /></h2>
    <${Facts} about=${about} session=${at.session} />
    <div class="buttons">
      <button type="button" class="main good" aria-disabled=${isBusy} title=${isBusy ? "End your call first" : undefined} onClick=${() => desk.answer(at)}>
        Answer
      </button>
      <button type="button" class="danger" onClick=${() => desk.decline(at)}>Decline</button>
    </div>
  </section>`;
}

/** Without a call: call out, and take a call that a colleague has parked. */
function Idle({ desk }) {
  const isCalling = desk.panel.value === "call";
  const canCall = desk.state.value === "ready" && desk.isConnected.value;
  const why = canCall ? "" : desk.isConnected.value ? "Go ready first: your own phone rings first." : desk.lost.value;
  return html`
    <section class="card" aria-label="Calls">
      ${isCalling
        ? html`<${DestinationForm} desk=${desk} kind="call" />`
        : html`<div class="buttons">
            <button
              type="button"
              data-panel="call"
              aria-disabled=${!canCall}
              title=${why || undefined}
              onClick=${() => (canCall ? desk.open("call") : (desk.asked.value = "call"))}
            >
              Call out…
            </button>
            ${desk.asked.value === "call" && why ? html`<p class="small muted" role="status">${why}</p>` : null}
          </div>`}
      <${Parked} desk=${desk} canTake=${canCall} why=${why} />
    </section>
  `;
}

function Parked({ desk, canTake, why }) {
  const parked = desk.parked.value;
  if (!parked.length) {
    return html`<p class="small muted">${desk.isConnected.value ? "No call is parked." : null}</p>`;
  }
  return html`<h3>Parked</h3>
    <ul class="list">
      ${parked.map((session) => {
        const customer = session.parties?.customer;
        const name = nameOf(customer?.address);
        const since = customer?.held ? customer.since : session.updated_at;
        const isPending = desk.commands.pending.value.has(`retrieve ${session.id}`);
        const asked = `retrieve ${session.id}`;
        return html`<li key=${session.id}>
          <span class="grow">
            <${Text} value=${name} />
            <span class="small muted"> waits for <${Time} at=${since} as="age" /></span>
            ${session.ref ? html`<span class="small muted"> · <${Text} value=${session.ref} /></span>` : null}
            ${desk.asked.value === asked && why ? html`<span class="small muted block" role="status">${why}</span>` : null}
          </span>
          <button
            type="button"
            aria-label=${`Retrieve ${printable(name)}`}
            aria-disabled=${!canTake || isPending}
            title=${why || undefined}
            onClick=${() => (canTake ? !isPending && desk.retrieve(session) : (desk.asked.value = asked))}
          >
            Retrieve
          </button>
        </li>`;
      })}
    </ul>`;
}

function Missed({ desk }) {
  const { missed } = desk;
  return html`
    <${Calls} calls=${missed.calls.value} title="Missed" label="Missed calls" kind="missed call" dismiss=${(id) => missed.dismiss(id)} />
    <${Calls} calls=${missed.busy.value} title="While you were busy" label="Calls while you were busy" kind="call" verb=" rang at" dismiss=${(id) => missed.dismiss(id)} />
  `;
}

/** Calls that the agent did not take. */
function Calls({ calls, title, label, kind, verb = "", dismiss }) {
  if (!calls.length) {
    return null;
  }
  return html`<section class="card" aria-label=${label}>
    <h3>${title}</h3>
    <ul class="list">
      ${calls.map(
        ({ id, from, number, ref, atMs }) => html`<li key=${id}>
          <span class="grow">
            <${Text} value=${from} />
            <span class="small muted">
              ${verb} <${Time} at=${atMs} as="clock" />
              ${number ? html` on <${Text} value=${number} />` : null}${ref ? html` · <${Text} value=${ref} />` : null}
            </span>
          </span>
          <button type="button" class="quiet" aria-label=${`Dismiss the ${kind} from ${printable(from)}`} onClick=${() => dismiss(id)}>✕</button>
        </li>`,
      )}
    </ul>
  </section>`;
}
