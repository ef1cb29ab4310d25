// What the desk shows: the agent's state, the call or who calls, and what is wrong. Buttons never move: what comes and
// goes by itself is below them, or in a line that is always there.

import { html } from "./shared/html.js";
import { Text } from "./shared/text.js";
import { NO_TOKEN, REPLACED } from "./api.js";
import { CallCard, Facts, Glance, glance } from "./call-view.js";
import { AudioSheet, ShortcutsSheet } from "./forms.js";
import { Idle, Missed } from "./idle-view.js";
import { isOfTheDesk, Key } from "./keys.js";
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
  const ring = desk.rings.incoming.value;
  return html`<div class="desk" role="region" aria-label="Desk">
    <${Top} desk=${desk} />
    ${call ? html`<${CallCard} desk=${desk} at=${call} />` : null}
    ${ring ? html`<${Incoming} desk=${desk} at=${ring} />` : null}
    <${Troubles} desk=${desk} />
    <${ReadyAgain} desk=${desk} />
    ${call ? null : html`<${Idle} desk=${desk} isHome=${!ring} />`}
    <${Missed} missed=${desk.missed} />
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
    <${Key} desk=${desk} place="shortcuts" label="?" name="Keyboard shortcuts" class="quiet" opens="shortcuts" />
    ${desk.phone.devices.value ? html`<${Key} desk=${desk} place="audio" label="Audio" class="quiet" opens="audio" />` : null}
    ${desk.comeback.needsClick.value
      ? null
      : state === "away"
      ? html`<${Key} desk=${desk} place="ready" label="Go ready" why=${desk.hasToken.value ? "" : "sign in first"} isMain=${!isOnCall} run=${() => void desk.goReady()} />`
      : html`<${Key} desk=${desk} place="ready" label="Go away" isPending=${state === "starting"} run=${() => void desk.goAway()} />`}
    ${isAudio ? html`<${AudioSheet} desk=${desk} />` : desk.panel.value === "shortcuts" ? html`<${ShortcutsSheet} desk=${desk} />` : null}
  </header>`;
}

/** Browsers let a page that was just loaded ring only after a click. */
function ReadyAgain({ desk }) {
  return desk.comeback.needsClick.value
    ? html`<section class="card" aria-label="Ready again">
        <p>You are away: this page was loaded again, and may ring only after a click.</p>
        <button type="button" class="main large" onClick=${() => desk.goReady()}>Go ready</button>
      </section>`
    : null;
}

/** Everything that is wrong with the desk now, the worst first. */
function Troubles({ desk }) {
  return html`<div class="notices">
    <div role="alert">
      <${Link} desk=${desk} />
      ${desk.phone.trouble ? html`<p class="notice is-warn">${desk.phone.trouble}</p>` : null}
      ${desk.notices.value.filter(isOfTheDesk).map(
        ({ id, kind, text }) => html`<p key=${id} class=${`notice is-${kind}`}>
          <${Text} value=${text} />
          <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => desk.dismiss(id)}>✕</button>
        </p>`,
      )}
    </div>
    ${desk.state.value === "waiting" && !desk.phone.call.value && !desk.comeback.openLine.value
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
  if (trouble.type === NO_TOKEN) {
    const goesOn = desk.phone.call.value ? " Your call goes on; you can hang up, mute, and send digits." : "";
    return html`<p class="notice is-bad">
      This page gave the desk no token. The desk asks again by itself.${goesOn}
      <button type="button" onClick=${() => desk.tryAgain()}>Try again</button>
    </p>`;
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
  const open = desk.comeback.openLine.value;
  if (open) {
    return html`<p class="notice is-warn">
      Your line with <${Text} value=${nameOf(open.parties.customer?.address)} /> is still open, in a window that is closed or in another one.
      <button type="button" onClick=${() => desk.comeback.takeOver(open)}>Take over here</button>
    </p>`;
  }
  const isLost = (session) => ownLeg(session, desk.identity.value)[1].is_lost;
  const lost = desk.state.value === "away" && [...desk.sessions.value.values()].find(isLost);
  return lost && !desk.phone.call.value
    ? html`<p class="notice is-warn">
        Your line was lost. Go ready to take the call with <${Text} value=${nameOf(lost.parties.customer?.address)} /> back.
      </p>`
    : null;
}

/** A call that rings; during another call, it is below that one's buttons. */
function Incoming({ desk, at }) {
  const about = desk.about(at);
  const isBusy = Boolean(desk.phone.call.value);
  const state = isBusy ? { kind: "ringing", word: "Incoming call", sinceMs: null, text: `${about.from} calls.` } : glance(desk);
  return html`<section class=${`card is-${state.kind}`} aria-label="Incoming call" tabindex="-1" data-home=${isBusy ? undefined : true}>
    <p class="unseen" role="alert">${state.word} from <${Text} value=${about.title} /></p>
    <${Glance} state=${state} about=${about} />
    <div class="row of-two">
      <${Key} desk=${desk} place="answer" label="Answer" why=${isBusy ? "end your call first" : ""} isMain=${true} isUrgent=${true} class="good" run=${() => desk.answer(at)} />
      <${Key} desk=${desk} place="decline" label="Decline" class="danger" run=${() => desk.decline(at)} />
    </div>
    <${Facts} about=${about} session=${at.session} />
  </section>`;
}
