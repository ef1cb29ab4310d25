// The desk's forms: a destination with its mode, digits, and the choice of microphone and speaker.

import { html } from "./shared/html.js";
import { printable, Text } from "./shared/text.js";
import { nameOf, present } from "./session.js";

const MODES = [
  ["consult", "Consult", "You ask first; the caller hears music"],
  ["warm", "Warm", "All three talk"],
  ["blind", "Blind", "You leave at once"],
];
const STATUS = { ready: "ready", busy: "on a call", away: "away" };
const KINDS = { transfer: "Transfer", add: "Add", call: "Call" };
const KEYS = [..."123456789*0#"];
const SHOWN_MAX = 8;

/** A constant function, so that it runs only when an element appears. */
const focusFirst = (element) => element?.focus();

function clear({ form }) {
  form.to.value = form.digits.value = form.party.value = "";
  form.active.value = -1;
}

/** Close a form; the button that opened it gets the focus. */
function close(desk, root) {
  const opener = `[data-panel="${desk.panel.value}"]`;
  clear(desk);
  desk.open("");
  root.querySelector(opener)?.focus();
}

const onEscape = (desk) => (event) => {
  if (event.key === "Escape") {
    event.stopPropagation();
    close(desk, event.currentTarget.getRootNode());
  }
};

/** Who is called: a name of the directory, with presence, or a number. */
export function DestinationForm({ desk, kind, session }) {
  const { to, active, mode } = desk.form;
  const wanted = to.value.trim().toLowerCase();
  const names = desk.names.value.filter(({ name }) => name.toLowerCase().includes(wanted)).slice(0, SHOWN_MAX);
  const isPending = desk.commands.pending.value.has(kind);
  const choose = (name) => {
    to.value = name;
    active.value = -1;
  };
  const submit = async (event) => {
    event.preventDefault();
    const destination = to.value.trim();
    const root = event.currentTarget.getRootNode();
    if (!destination || isPending || !desk.isConnected.value) {
      return;
    }
    const isAccepted = kind === "call" ? await desk.callOut(destination) : await desk.act(session, command(kind, destination, session, mode.value));
    if (isAccepted) {
      close(desk, root);
      desk.hasMore.value = false;
    }
  };
  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && names.length) {
      event.preventDefault();
      active.value = (active.value + step + (step < 0 && active.value < 0 ? 1 : 0) + names.length) % names.length;
    } else if (event.key === "Enter" && names[active.value]) {
      event.preventDefault();
      choose(names[active.value].name);
    }
  };
  return html`<form class="form" aria-label=${KINDS[kind]} onSubmit=${submit} onKeyDown=${onEscape(desk)}>
    <label for="to">To</label>
    <input
      id="to"
      ref=${focusFirst}
      value=${to.value}
      placeholder="Name or +number"
      autocomplete="off"
      spellcheck=${false}
      role="combobox"
      aria-expanded=${names.length > 0}
      aria-controls="names"
      aria-autocomplete="list"
      aria-activedescendant=${names[active.value] ? `name-${active.value}` : undefined}
      onInput=${(event) => choose(event.currentTarget.value)}
      onKeyDown=${onKeyDown}
    />
    <ul id="names" class="names" role="listbox" aria-label="Directory">
      ${names.map(
        ({ name, status }, place) => html`<li
          key=${name}
          id=${`name-${place}`}
          role="option"
          aria-selected=${place === active.value || name === to.value}
          onClick=${() => choose(name)}
        >
          <${Text} value=${name} />
          ${status ? html`<span class="small muted"><span class=${`dot is-${status}`} aria-hidden="true"></span> ${STATUS[status] ?? status}</span>` : null}
        </li>`,
      )}
    </ul>
    ${kind === "transfer" ? html`<${Modes} mode=${mode} />` : null}
    <div class="buttons">
      <button type="submit" class="main" aria-disabled=${isPending || !wanted}>${KINDS[kind]}</button>
      <button type="button" onClick=${(event) => close(desk, event.currentTarget.getRootNode())}>Close</button>
    </div>
  </form>`;
}

function Modes({ mode }) {
  return html`<fieldset>
    <legend>Mode</legend>
    ${MODES.map(
      ([value, label, hint]) => html`<label key=${value} class="mode">
        <input type="radio" name="mode" value=${value} checked=${mode.value === value} aria-label=${label} aria-description=${hint} onChange=${() => (mode.value = value)} />
        <span>${label} <span class="small muted" aria-hidden="true">${hint}</span></span>
      </label>`,
    )}
  </fieldset>`;
}

function command(kind, destination, session, mode) {
  if (kind === "transfer") {
    return { id: "transfer", type: "transfer", label: `Transfer to ${destination}`, fields: { to: destination, mode } };
  }
  const taken = new Set(Object.keys(session.parties));
  let number = 1;
  while (taken.has(`guest-${number}`) || taken.has(`party-${number}`)) {
    number += 1;
  }
  return { id: "add", type: "add", label: `Add ${destination}`, fields: { to: destination, party: `party-${number}` } };
}

/** Digits to one party. They may be a PIN: nothing keeps them. */
export function DigitsForm({ desk, at: { session, own } }) {
  const { digits, party } = desk.form;
  const parties = session ? present(session).filter(([name, one]) => name !== own?.[0] && one.status === "connected" && !one.held) : [];
  const chosen = parties.some(([name]) => name === party.value) ? party.value : (parties[0]?.[0] ?? "");
  const isPending = desk.commands.pending.value.has("press");
  const submit = async (event) => {
    event.preventDefault();
    const pressed = digits.value;
    if (pressed && !isPending && (await desk.press(pressed, chosen))) {
      digits.value = "";
    }
  };
  return html`<form class="form" aria-label="Digits" onSubmit=${submit} onKeyDown=${onEscape(desk)}>
    ${parties.length > 1
      ? html`<label for="party">To</label>
          <select id="party" onChange=${(event) => (party.value = event.currentTarget.value)}>
            ${parties.map(([name, { address }]) => html`<option key=${name} value=${name} selected=${name === chosen}>${printable(nameOf(address))}</option>`)}
          </select>`
      : null}
    <label for="digits">Digits</label>
    <input
      id="digits"
      ref=${focusFirst}
      value=${digits.value}
      inputmode="tel"
      autocomplete="off"
      maxlength="64"
      pattern="[0-9*#wW]+"
      title="0 to 9, *, #, and w for a pause of half a second"
      onInput=${(event) => (digits.value = event.currentTarget.value)}
    />
    <div class="keys" role="group" aria-label="Keys">
      ${KEYS.map((key) => html`<button key=${key} type="button" onClick=${() => (digits.value += key)}>${key}</button>`)}
    </div>
    <div class="buttons">
      <button type="submit" class="main" aria-disabled=${isPending || !digits.value}>Send</button>
      <button type="button" onClick=${(event) => close(desk, event.currentTarget.getRootNode())}>Close</button>
    </div>
  </form>`;
}

/** The choice of microphone and speaker, as far as the browser offers one. */
export function AudioForm({ desk }) {
  const { microphones, microphone, speakers, speaker } = desk.phone.devices.value;
  const field = (kind, label, devices, chosen) =>
    devices.length
      ? html`<label for=${kind}>${label}</label>
          <select id=${kind} onChange=${(event) => desk.phone.choose(kind, event.currentTarget.value)}>
            ${devices.map(({ id, name }) => html`<option key=${id} value=${id} selected=${id === chosen}>${printable(name)}</option>`)}
          </select>`
      : html`<p class="small muted">${label}: the browser offers no choice.</p>`;
  return html`<div class="form" role="group" aria-label="Audio">
    ${field("microphone", "Microphone", microphones, microphone)} ${field("speaker", "Speaker", speakers, speaker)}
  </div>`;
}
