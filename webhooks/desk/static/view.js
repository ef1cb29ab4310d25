// What the desk shows. Buttons never move: what comes and goes by itself is below them.

import { computed, effect } from "./shared/vendor/preact-signals-core.mjs";
import { render } from "./shared/vendor/preact.mjs";
import { html } from "./shared/html.js";
import { Text } from "./shared/text.js";
import { NO_TOKEN, REPLACED } from "./api.js";
import { CallCard, Facts, Glance, glance, headline } from "./call-view.js";
import { Desk } from "./desk.js";
import { AudioSheet, ShortcutsSheet } from "./forms.js";
import { Idle } from "./idle-view.js";
import { isOfTheDesk, Key } from "./keys.js";
import { nameOf } from "./session.js";

const STATES = { away: "Away", starting: "Starting…", ready: "Ready", waiting: "Ready elsewhere" };

/** Make an element's desk, which is drawn in `place` until `over`. */
export function mount(element, place, base, over) {
  const emit = (name, detail) => element.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  const desk = new Desk(base, element.getAttribute("identity") ?? "", emit);
  desk.guard.watch(element.shadowRoot, over);
  desk.shortcuts.start(element.shadowRoot, element.hasAttribute("shortcuts"), over);
  const title = computed(() => headline(desk));
  const effects = [
    effect(() => {
      render(html`<${View} desk=${desk} />`, place);
      desk.guard.drawn(desk.asked);
    }),
    effect(() => emit("desk-title", { text: title.value })),
  ];
  over.addEventListener("abort", () => effects.forEach((end) => end()));
  return desk;
}

function View({ desk }) {
  const call = desk.current.value;
  const ring = desk.rings.incoming.value;
  return html`<div class="desk" translate="no" role="region" aria-label="Desk">
    <${Top} desk=${desk} />
    ${call && html`<${CallCard} desk=${desk} at=${call} />`}
    ${ring && html`<${Incoming} desk=${desk} at=${ring} />`}
    <${Troubles} desk=${desk} />
    <${ReadyAgain} desk=${desk} />
    ${call ? null : html`<${Idle} desk=${desk} isHome=${!ring} />`}
    <p class="unseen" role="status"><${Text} value=${desk.news.value} /></p>
  </div>`;
}

function Top({ desk }) {
  const { phone, panel, comeback } = desk;
  const isOnCall = Boolean(phone.call.value);
  const isReachable = desk.state.value !== "ready" || phone.isRegistered.value;
  const state = isOnCall ? "busy" : isReachable ? desk.state.value : "starting";
  const word = isOnCall ? "On a call" : isReachable ? STATES[state] : "Connecting the phone…";
  const ready =
    desk.state.value === "away"
      ? { label: "Go ready", why: desk.hasToken.value ? "" : "sign in first", isMain: !isOnCall, run: () => void desk.goReady() }
      : { label: "Go away", isPending: desk.state.value === "starting", run: () => void desk.goAway() };
  return html`<header>
    <span class=${`dot is-${state}`} aria-hidden="true"></span>
    <div class="who">
      <strong><${Text} value=${desk.presence.agent.value?.name || desk.identity.value || (desk.hasToken.value ? "…" : "No agent")} /></strong>
      <span class="small muted" role="status">${word}</span>
    </div>
    ${phone.audioDevices.offered.value && html`<${Key} desk=${desk} place="audio" label="Audio" class="quiet" opens="audio" />`}
    <${Key} desk=${desk} place="shortcuts" label="?" name="Keyboard shortcuts" class="quiet" opens="shortcuts" />
    ${comeback.needsClick.value ? null : html`<${Key} desk=${desk} place="ready" ...${ready} />`}
    ${panel.value === "audio" && phone.audioDevices.offered.value && html`<${AudioSheet} desk=${desk} />`}
    ${panel.value === "shortcuts" && html`<${ShortcutsSheet} desk=${desk} />`}
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

function Troubles({ desk }) {
  const isElsewhere = desk.state.value === "waiting" && !desk.phone.call.value && !desk.comeback.openLine.value;
  return html`<div class="notices">
    <div role="alert">
      <${Link} desk=${desk} />
      ${desk.phone.trouble && html`<p class="notice is-warn">${desk.phone.trouble}</p>`}
      ${desk.notices.value.filter(isOfTheDesk).map(
        (one) => html`<p key=${one.text} class=${`notice is-${one.kind}`}>
          <${Text} value=${one.text} />
          <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => desk.dismiss(one)}>✕</button>
        </p>`,
      )}
    </div>
    ${isElsewhere && html`<p class="notice">You are ready in another window, which takes the calls. Go away there to take them here.</p>`}
    <${LostLeg} desk=${desk} />
  </div>`;
}

function Link({ desk }) {
  const trouble = desk.trouble.value;
  if (!desk.hasToken.value) {
    return html`<p class="notice">This desk has no token yet. Sign in to take calls.</p>`;
  }
  const again = { [NO_TOKEN]: "Try again", [REPLACED]: "Connect here" }[trouble?.type];
  const goesOn = desk.phone.call.value ? " Your call goes on: you can hang up, mute, and send digits." : "";
  return trouble
    ? html`<p class="notice is-bad">
        <${Text} value=${`${desk.lost.value}.${goesOn}`} />
        ${again && html`<button type="button" onClick=${desk.tryAgain}>${again}</button>`}
      </p>`
    : null;
}

/** After a reload, the agent's own call may still be live, without this browser. */
function LostLeg({ desk }) {
  const { comeback, phone, rings, sessions, state } = desk;
  const open = comeback.openLine.value;
  const one = open ?? sessions.value.get(rings.lost[0]);
  if (!one || phone.call.value || (!open && (rings.incoming.value || state.value === "waiting"))) {
    return null;
  }
  const who = nameOf(one.parties.customer?.address);
  const lost = state.value === "away" ? `Your line was lost. Go ready to take the call with ${who} back.` : `Taking your call with ${who} back…`;
  return html`<p class="notice is-warn" role="status">
    <${Text} value=${open ? `Your line with ${who} is still open, in a window that is closed or in another one.` : lost} />
    ${open && html`<button type="button" onClick=${() => comeback.takeOver(open)}>Take over here</button>`}
  </p>`;
}

/** A call that rings; during another call, it is below that one's buttons. */
function Incoming({ desk, at }) {
  const about = desk.about(at);
  const isBusy = Boolean(desk.phone.call.value);
  const state = glance(desk, at);
  const keys = [
    { place: "answer", label: "Answer", why: at.isOver ? "the call is over" : isBusy ? "end your call first" : "", isMain: true, isUrgent: true, class: "good", run: () => desk.answer(at) },
    { place: "decline", label: "Decline", class: "danger", run: () => desk.decline(at) },
  ];
  return html`<section class=${`card is-${state.kind}`} aria-label="Incoming call" tabindex="-1" data-home=${isBusy ? undefined : true}>
    ${at.isOver ? null : html`<p class="unseen" role="alert">${state.word}: <${Text} value=${about.title} /></p>`}
    <${Glance} state=${state} about=${about} />
    <div class="row of-two">${keys.map((key) => html`<${Key} key=${key.place} desk=${desk} ...${key} />`)}</div>
    <${Facts} about=${about} />
  </section>`;
}
