// A call: its state at a glance, its buttons, why it came, and what is known of it.

import { html } from "./shared/html.js";
import { printable, Text } from "./shared/text.js";
import { now, timer, toMs } from "./shared/time.js";
import { DestinationSheet, DigitsSheet, Sheet } from "./forms.js";
import { Key, Said } from "./keys.js";
import { actions, ringOf, sentBack, stateOf, UNKNOWN } from "./session.js";

/** A shape for each state, which its color alone does not say. */
const SIGNS = {
  ringing: "M8 2a4 4 0 0 0-4 4v3l-1.5 2.5h11L12 9V6a4 4 0 0 0-4-4zM6.5 14h3",
  talking: "M2 3h12v8H7l-3 3v-3H2z",
  hold: "M5.5 3v10M10.5 3v10",
  alone: "M8 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 14c0-3 2-4.5 5-4.5s5 1.5 5 4.5",
  recalled: "M6 2.5 2.5 6 6 9.5M2.5 6H10a3.5 3.5 0 0 1 0 7H6",
};
const since = (sinceMs) => (sinceMs ? timer(now.value - sinceMs) : "");

export function glance(desk, at) {
  const { session, own, isOver } = at;
  const back = sentBack(session, own);
  if (isOver) {
    const news = (desk.current.value ?? at) === at && desk.news.value;
    return { kind: "alone", word: "Over", sinceMs: null, text: news || "You are not in this call any more.", isOver };
  }
  if (at === desk.current.value) {
    const state = own ? stateOf(session, own) : { kind: "talking", word: "In a call", sinceMs: null, text: UNKNOWN };
    const recording = { "in-progress": "recording", paused: "recording paused" }[session?.recording];
    return { ...state, word: [state.word, desk.phone.isMuted.value && "muted", recording].filter(Boolean).join(" · ") };
  }
  const [word, text] = back ? ["Recalled", back] : ringOf(session, own, desk.about(at).fromAgent);
  return { kind: back ? "recalled" : "ringing", word, sinceMs: toMs(own?.[1].since), text };
}

/** For the page's title: `1:32 Talking: order 7`; empty without a call. */
export function headline(desk) {
  const at = desk.current.value ?? desk.rings.incoming.value;
  const { sinceMs, word } = at ? glance(desk, at) : {};
  return at ? printable(`${since(sinceMs)} ${word}: ${desk.about(at).title}`.trim()) : "";
}

export function Glance({ state, about, children }) {
  const { kind, word, sinceMs, text, isOver } = state;
  return html`
    <p class=${`state is-${kind}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true"><path d=${SIGNS[kind]} /></svg>
      <strong>${word}</strong>
      <span class="timer" role="timer">${since(sinceMs)}</span>
    </p>
    <h2 title=${printable(about.title)}><${Text} value=${about.title} /></h2>
    <p class="caller muted">
      <${Text} value=${about.title === about.from ? "" : about.from} />${about.number && html`${" "}on <${Text} value=${about.number} />`}
    </p>
    <p class="sentence" role=${isOver ? undefined : "status"}><span class="unseen">${word}. </span><${Text} value=${text} /></p>
    ${children}
  `;
}

export function Facts({ about }) {
  const params = Object.entries(about.params);
  return html`
    ${about.brief
      ? html`<figure>
          <blockquote><${Text} value=${about.brief} /></blockquote>
          ${about.fromAgent ? html`<figcaption class="small muted"><${Text} value=${about.fromAgent} /></figcaption>` : null}
        </figure>`
      : null}
    ${params.length
      ? html`<dl class="facts">
          ${params.map(([name, value]) => html`<dt key=${name}><${Text} value=${name} /></dt><dd><${Text} value=${value} /></dd>`)}
        </dl>`
      : null}
  `;
}

export function CallCard({ desk, at }) {
  const { session, own, isOver } = at;
  const about = desk.about(at);
  const state = glance(desk, at);
  const keys = keysOf(desk, at, state.kind);
  const panel = desk.panel.value;
  const back = isOver || own?.[1].is_lost ? "" : sentBack(session, own); // one that was lost is back now
  const draw = (one) => html`<${Key} key=${one.place} desk=${desk} ...${one} />`;
  const destination = () => html`<${DestinationSheet} desk=${desk} kind=${panel} session=${session} />`;
  const sheet = {
    transfer: destination,
    add: destination,
    press: () => html`<${DigitsSheet} desk=${desk} at=${at} />`,
    more: () => html`<${Sheet} desk=${desk} title="More"><div class="more">${keys.more.map(draw)}</div></${Sheet}>`,
  }[panel]?.();
  return html`<section class=${`card is-${state.kind}`} aria-label="Call" tabindex="-1" data-home>
    <${Glance} state=${state} about=${about} />
    <div class="pad">
      <div class="keys" inert=${Boolean(sheet)}>
        <div class="row" role="group" aria-label="Call">${keys.first.map(draw)}</div>
        ${keys.second.length ? html`<div class="row" role="group" aria-label="Transfer">${keys.second.map(draw)}</div>` : null}
      </div>
      ${sheet}
    </div>
    <${Said} desk=${desk} news=${isOver ? "" : desk.news.value} />
    ${back && html`<p class="back is-recalled"><${Text} value=${back} /></p>`}
    <${Facts} about=${about} />
  </section>`;
}

function keysOf(desk, { session, own, isOver }, kind) {
  const isKnown = Boolean(session && own);
  const all = isKnown ? actions(session, own) : { more: [] };
  const lost = desk.lost.value;
  const whyNot = (why) => lost || (isOver ? "the call is over" : isKnown ? why : "Conferral does not know this call yet");
  const main = mainOf(kind, all, own);
  const command = (place, one, label) => ({
    place,
    label: one?.label ?? label,
    hint: one?.hint,
    why: whyNot(one?.why ?? ""),
    isPending: one && desk.commands.pending.value.has(one.id),
    isMain: main === place,
    class: one?.isDanger ? "danger" : "",
    run: () => void desk.act(session, one),
  });
  const isMuted = desk.phone.isMuted.value;
  const first = [
    { ...command("transfer", { why: all.refusedTransfer }, "Transfer"), opens: "transfer" },
    command("hold", all.hold, "Hold"),
    { place: "mute", label: isMuted ? "Unmute" : "Mute", isUrgent: true, class: isMuted ? "is-on" : "", run: () => desk.mute(!isMuted) },
    { place: "press", label: "Digits", why: isOver ? "the call is over" : isKnown && !lost ? (session.refused?.press ?? "") : "", opens: "press" },
    command("record", all.record, "Record"),
    command("park", all.park, "Park"),
    { place: "more", label: "More", why: whyNot(""), opens: "more" },
    { place: "hang-up", label: "Hang up", isMain: main === "hang-up", isUrgent: true, class: "danger last", run: () => desk.hangUp() },
  ];
  const second =
    !isOver && own?.[1].status === "confirming"
      ? [{ place: "take", label: "Take the call", hint: "Presses 1", isMain: true, run: () => desk.press("1", "") }]
      : ["cancel", "swap", "merge", "complete"].filter((place) => all[place]).map((place) => command(place, all[place]));
  const more = all.more.map((one) => ({ ...command(one.id, one), ...(one.type === "add" ? { opens: "add" } : {}) }));
  return { first, second, more };
}

function mainOf(kind, all, own) {
  if (own?.[1].status === "confirming") {
    return "take";
  }
  if (all.complete) {
    return all.isReached ? "complete" : "cancel";
  }
  return kind === "alone" ? "hang-up" : kind === "hold" && all.hold?.type === "unhold" ? "hold" : "transfer";
}
