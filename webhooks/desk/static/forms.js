// The desk's sheets, which lie over the buttons.

import { CHOOSE, DestinationField, destinationOf, MODES } from "./shared/destinations.js";
import { html } from "./shared/html.js";
import { printable } from "./shared/text.js";
import { Key } from "./keys.js";
import { nameOf, present } from "./session.js";
import { SHORTCUTS } from "./shortcuts.js";

/** What can be done with a destination; the first is the likely one. */
const SENDS = {
  transfer: [
    ["consult", MODES.consult, "You ask first; the caller hears music"],
    ["warm", MODES.warm, "All three talk"],
    ["blind", MODES.blind, "You leave at once"],
  ],
  add: [["add", MODES.warm, "Calls one more party into this call"]],
  call: [["call", "Call", "Your own phone rings first"]],
};
const TITLES = { transfer: "Transfer", add: "Add a party", call: "Call out" };

/** A constant function, so that it runs only when an element appears. */
const focusFirst = (element) => element?.focus({ preventScroll: true });

/** Close a sheet; the button that opened it gets the focus. */
function close(desk) {
  const opener = desk.panel.value === "add" ? "more" : desk.panel.value;
  desk.open("");
  focusFirst(desk.guard.root.querySelector(`[data-key="${opener}"]`));
}

export function Sheet({ desk, title, children }) {
  const onKeyDown = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close(desk);
    }
  };
  return html`<form class="sheet" aria-label=${title} onSubmit=${(event) => event.preventDefault()} onKeyDown=${onKeyDown}>
    <div class="top">
      <h3 aria-level="2">${title}</h3>
      <button type="button" class="quiet" ref=${focusFirst} onClick=${() => close(desk)}>Close</button>
    </div>
    ${children}
  </form>`;
}

export function DestinationSheet({ desk, kind, session }) {
  const { form } = desk;
  const { to, active } = form;
  const known = desk.names.value;
  const names = [...new Set([...form.names, ...known.keys()])].map((name) => known.get(name)).filter(Boolean);
  const destination = destinationOf(to.value, names);
  const why = (kind === "call" ? desk.whyNoCall.value : desk.lost.value) || (destination ? "" : CHOOSE);
  const send = async (mode) => {
    const isAccepted = await (kind === "call" ? desk.callOut(destination) : desk.act(session, command(mode, destination, session)));
    if (isAccepted && desk.form === form) {
      close(desk);
    }
  };
  const onEnter = () => desk.guard.root.querySelector(".sends button").focus();
  const onChange = (text, place) => {
    to.value = text;
    active.value = place;
  };
  return html`<${Sheet} desk=${desk} title=${TITLES[kind]}>
    <${DestinationField} text=${to.value} active=${active.value} names=${names} onChange=${onChange} onEnter=${onEnter} focus=${focusFirst} />
    <div class="sends">
      ${SENDS[kind].map(([mode, label, hint], place) => {
        const key = { place: `send ${mode}`, label, name: label, hint, why, isPending: desk.commands.pending.value.has(kind), isMain: place === 0 };
        return html`<${Key} key=${mode} desk=${desk} ...${key} run=${() => void send(mode)}><span class="small" aria-hidden="true">${hint}</span></${Key}>`;
      })}
    </div>
  </${Sheet}>`;
}

function command(mode, destination, session) {
  if (mode !== "add") {
    const name = nameOf(destination);
    const done = mode === "blind" ? `You left while ${name} was being called.` : "";
    return { id: "transfer", type: "transfer", label: `Transfer to ${destination}`, fields: { to: destination, mode }, done };
  }
  const { parties } = session; // those who have left are there, too
  const party = Object.keys(parties).map((_, count) => `party-${count}`).find((one) => !(one in parties));
  return { id: "add", type: "add", label: `Add ${destination}`, fields: { to: destination, party } };
}

/** What can be sent; and the keys that a screen reader may not name. */
const DIGITS = "digits are 0 to 9, *, #, and w for a pause of half a second";
const SPOKEN = { "*": "star", "#": "pound" };
/** On a touch screen, the focus would open a keyboard over the keypad. */
const focusField = (element) => matchMedia("(pointer: coarse)").matches || focusFirst(element);

/** Digits to one party. They may be a PIN: they are kept while the sheet is open, and only here. */
export function DigitsSheet({ desk, at: { session, own } }) {
  const { digits, sent, party } = desk.form;
  const parties = session ? present(session).filter(([name, one]) => name !== own?.[0] && one.status === "connected" && !one.held) : [];
  const chosen = parties.some(([name]) => name === party.value) ? party.value : (parties[0]?.[0] ?? "");
  const isPending = desk.commands.pending.value.has("press");
  const why = /^[0-9*#wW]+$/.test(digits.value) ? "" : DIGITS;
  const send = async () => {
    const pressed = digits.value;
    if (!why && !isPending && (await desk.press(pressed, chosen))) {
      digits.value = "";
      sent.value += ` ${pressed}`;
    }
  };
  return html`<${Sheet} desk=${desk} title="Digits">
    ${parties.length > 1
      ? html`<label for="party">To</label>
          <select id="party" onChange=${(event) => (party.value = event.currentTarget.value)}>
            ${parties.map(([name, { address }]) => html`<option key=${name} value=${name} selected=${name === chosen}>${printable(nameOf(address))}</option>`)}
          </select>`
      : null}
    <div class="digits">
      <input
        aria-label="Digits"
        ref=${focusField}
        value=${digits.value}
        inputmode="tel"
        autocomplete="off"
        maxlength="64"
        title=${DIGITS}
        onInput=${(event) => (digits.value = event.currentTarget.value)}
        onKeyDown=${(event) => event.key === "Enter" && void send()}
      />
      <${Key} desk=${desk} place="send digits" label="Send" isPending=${isPending} isMain=${true} why=${why} run=${() => void send()} />
    </div>
    <div class="row keypad" role="group" aria-label="Keypad">
      ${[..."123456789*0#"].map((one) => html`<button key=${one} type="button" aria-label=${SPOKEN[one]} onClick=${() => (digits.value += one)}>${one}</button>`)}
    </div>
    <p class="small" role="status">${sent.value && `Sent:${sent.value}`}</p>
  </${Sheet}>`;
}

export function ShortcutsSheet({ desk }) {
  const { shortcuts } = desk;
  return html`<${Sheet} desk=${desk} title="Keyboard shortcuts">
    <dl class="facts">${Object.values(SHORTCUTS).map(([place, key, text]) => html`<dt key=${place}><kbd>${key}</kbd></dt><dd>${text}</dd>`)}</dl>
    <label class="check">
      <input type="checkbox" checked=${shortcuts.isOn.value} onChange=${(event) => shortcuts.choose(event.currentTarget.checked)} />
      Use these keys
    </label>
  </${Sheet}>`;
}

export function AudioSheet({ desk }) {
  const { audioDevices } = desk.phone;
  const field = (kind, label) => {
    const { known, used } = audioDevices.offered.value[kind];
    return known.length
      ? html`<label for=${kind}>${label}</label>
          <select id=${kind} onChange=${(event) => void audioDevices.choose(kind, event.currentTarget.value)}>
            ${known.map(([id, name]) => html`<option key=${id} value=${id} selected=${id === used}>${printable(name)}</option>`)}
          </select>`
      : html`<p class="small muted">${label}: the browser offers no choice.</p>`;
  };
  return html`<${Sheet} desk=${desk} title="Audio">${field("microphone", "Microphone")} ${field("speaker", "Speaker")}</${Sheet}>`;
}
