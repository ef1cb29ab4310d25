// The desk's sheets, which lie over the buttons: whom to call, digits, and the choice of microphone and speaker.

import { html } from "./shared/html.js";
import { printable, Text } from "./shared/text.js";
import { Key } from "./keys.js";
import { nameOf, present } from "./session.js";
import { SHORTCUTS } from "./shortcuts.js";

/** What can be done with a destination: the first is the likely one. */
const SENDS = {
  transfer: [
    ["consult", "Consult", "You ask first; the caller hears music"],
    ["warm", "Add to call", "All three talk"],
    ["blind", "Transfer and leave", "You leave at once"],
  ],
  add: [["add", "Add to call", "Calls one more party into this call"]],
  call: [["call", "Call", "Your own phone rings first"]],
};
const TITLES = { transfer: "Transfer", add: "Add a party", call: "Call out" };
const STATUS = { ready: "ready", busy: "on a call", away: "away" };
const KEYS = [..."123456789*0#"];
/** What may be called besides the directory's names. */
const ADDRESS = /^(\+[\d ().-]{4,}|client:\w+|sip:\S+)$/;

/** A constant function, so that it runs only when an element appears. */
const focusFirst = (element) => element?.focus({ preventScroll: true });

/** Close a sheet; the button that opened it gets the focus. */
function close(desk) {
  const opener = desk.panel.value === "add" ? "more" : desk.panel.value;
  desk.open("");
  focusFirst(desk.guard.root.querySelector(`[data-key="${opener}"]`));
}

/** A part of the desk over the buttons, with a title and a way back. */
export function Sheet({ desk, title, children }) {
  const onKeyDown = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close(desk);
    }
  };
  return html`<form class="sheet" aria-label=${title} onSubmit=${(event) => event.preventDefault()} onKeyDown=${onKeyDown}>
    <div class="top">
      <h3>${title}</h3>
      <button type="button" class="quiet" ref=${focusFirst} onClick=${() => close(desk)}>Close</button>
    </div>
    ${children}
  </form>`;
}

/** Who is called: a name of the directory, or a number. */
export function DestinationSheet({ desk, kind, session }) {
  const { to, active } = desk.form;
  const wanted = to.value.trim().toLowerCase();
  const known = desk.names.value;
  const ordered = new Set([...desk.form.names.value, ...known.keys()]);
  const names = [...ordered].filter((name) => known.has(name) && name.toLowerCase().includes(wanted));
  const exact = names.find((name) => name.toLowerCase() === wanted);
  const destination = exact ?? (ADDRESS.test(to.value.trim()) ? to.value.trim() : "");
  const why = desk.lost.value || (destination ? "" : wanted ? "choose a name, or type a number with its plus" : "choose whom to call");
  const choose = (name) => {
    to.value = name;
    active.value = -1;
  };
  const send = async (mode) => {
    if (await (kind === "call" ? desk.callOut(destination) : desk.act(session, command(mode, destination, session)))) {
      close(desk);
    }
  };
  const onKeyDown = (event) => {
    const { key, currentTarget } = event;
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (step && names.length) {
      event.preventDefault();
      active.value = (active.value + step + (step < 0 && active.value < 0 ? 1 : 0) + names.length) % names.length;
    } else if (key === "Enter" && !event.repeat) {
      event.preventDefault();
      const found = names[active.value] ?? (wanted && !destination ? names[0] : undefined);
      if (found) {
        choose(found);
      } else if (destination && !why && SENDS[kind].length === 1) {
        void send(SENDS[kind][0][0]);
        return;
      }
      if (found || destination) {
        currentTarget.closest(".sheet").querySelector(".sends button").focus();
      }
    }
  };
  return html`<${Sheet} desk=${desk} title=${TITLES[kind]}>
    <label for="to" class="unseen">To</label>
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
    <ul id="names" class="names" role="listbox" aria-label="Directory" tabindex="-1">
      ${names.map(
        (name, place) => html`<li
          key=${name}
          id=${`name-${place}`}
          role="option"
          aria-selected=${place === active.value || name === exact}
          ref=${place === active.value ? (element) => element?.scrollIntoView({ block: "nearest" }) : undefined}
          onClick=${() => choose(name)}
        >
          <${Text} value=${name} />
          <${Presence} status=${known.get(name).status} />
        </li>`,
      )}
    </ul>
    <div class="sends">
      ${SENDS[kind].map(
        ([mode, label, hint], place) => html`<${Key}
          key=${mode}
          desk=${desk}
          place=${`send ${mode}`}
          label=${label}
          name=${label}
          hint=${hint}
          why=${why}
          isPending=${desk.commands.pending.value.has(kind)}
          isMain=${place === 0}
          run=${() => void send(mode)}
        ><span class="small" aria-hidden="true">${hint}</span></${Key}>`,
      )}
    </div>
  </${Sheet}>`;
}

const Presence = ({ status }) =>
  status ? html`<span class="small muted"><span class=${`dot is-${status}`} aria-hidden="true"></span> ${STATUS[status] ?? printable(status)}</span>` : null;

function command(mode, destination, session) {
  if (mode !== "add") {
    const name = nameOf(destination);
    const done = mode === "blind" ? `${name} is being called for the caller; you have left.` : "";
    return { id: "transfer", type: "transfer", label: `Transfer to ${destination}`, fields: { to: destination, mode }, done };
  }
  const taken = new Set(Object.keys(session.parties));
  let number = 1;
  while (taken.has(`guest-${number}`) || taken.has(`party-${number}`)) {
    number += 1;
  }
  return { id: "add", type: "add", label: `Add ${destination}`, fields: { to: destination, party: `party-${number}` } };
}

/** Digits to one party. They may be a PIN: nothing keeps them. */
export function DigitsSheet({ desk, at: { session, own } }) {
  const { digits, party } = desk.form;
  const parties = session ? present(session).filter(([name, one]) => name !== own?.[0] && one.status === "connected" && !one.held) : [];
  const chosen = parties.some(([name]) => name === party.value) ? party.value : (parties[0]?.[0] ?? "");
  const isPending = desk.commands.pending.value.has("press");
  const send = async () => {
    const pressed = digits.value;
    if (/^[0-9*#wW]+$/.test(pressed) && !isPending && (await desk.press(pressed, chosen))) {
      digits.value = "";
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
        ref=${focusFirst}
        value=${digits.value}
        inputmode="tel"
        autocomplete="off"
        maxlength="64"
        title="0 to 9, *, #, and w for a pause of half a second"
        onInput=${(event) => (digits.value = event.currentTarget.value)}
        onKeyDown=${(event) => event.key === "Enter" && void send()}
      />
      <${Key} desk=${desk} place="send digits" label="Send" isPending=${isPending} isMain=${true} why=${digits.value ? "" : "type the digits first"} run=${() => void send()} />
    </div>
    <div class="dial" role="group" aria-label="Keys">
      ${KEYS.map((key) => html`<button key=${key} type="button" onClick=${() => (digits.value += key)}>${key}</button>`)}
    </div>
  </${Sheet}>`;
}

/** The keys, and whether they are used. */
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

/** The choice of microphone and speaker, as far as the browser offers one. */
export function AudioSheet({ desk }) {
  const field = (kind, label) => {
    const { all, id: used } = desk.phone.devices.value[kind];
    return all.length
      ? html`<label for=${kind}>${label}</label>
          <select id=${kind} onChange=${(event) => desk.phone.choose(kind, event.currentTarget.value)}>
            ${all.map(({ id, name }) => html`<option key=${id} value=${id} selected=${id === used}>${printable(name)}</option>`)}
          </select>`
      : html`<p class="small muted">${label}: the browser offers no choice.</p>`;
  };
  return html`<${Sheet} desk=${desk} title="Audio">${field("microphone", "Microphone")} ${field("speaker", "Speaker")}</${Sheet}>`;
}
