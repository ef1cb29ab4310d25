// One phone: its status, what it hears, and its buttons, which never move.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { html } from "htm/preact";

import { Act, ask } from "./action.js";
import { isSmall } from "./shared/jump.js";
import { Time } from "./shared/time.js";
import { numbers, only, tabOf } from "./store.js";
import { printable, Text } from "./shared/text.js";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
const FREE = "no call";

/** The selected call by phone address; a call's SID. */
const chosen = signal({});
/** The number to call, or the application's `To`, by phone address. */
const wishes = signal({});
/** Addresses of the phones that show everything on a small screen. */
const unfolded = signal(new Set());

/** Returns the call that a phone's buttons act on: the selected one, a ringing one, or the newest. */
function current(phone) {
  const byChoice = phone.legs.find((leg) => leg.sid === chosen.value[phone.address]);
  return byChoice ?? phone.legs.find((leg) => leg.sound === "ring") ?? phone.legs.at(-1) ?? null;
}

/**
 * A phone.
 *
 * @param {{ phone: object, alone: boolean }} props `alone`: whether it has a tab to itself.
 */
export function Phone({ phone, alone }) {
  const leg = current(phone);
  const id = `phone-${encodeURIComponent(phone.address)}`;
  const rings = leg?.sound === "ring";
  const card = useRef(null);
  useTitle(alone, phone, rings);
  // The screen may show other phones: bring this one in, so that it can be answered.
  useEffect(() => {
    rings && card.current.querySelector(".buttons").scrollIntoView({ block: "nearest" });
  }, [rings]);
  // A phone that asks for a key shows its keys.
  const isWhole = alone || !isSmall.value || leg?.wants_keys || unfolded.value.has(phone.address);
  const fold = () => {
    const next = new Set(unfolded.value);
    next.delete(phone.address) || next.add(phone.address);
    unfolded.value = next;
  };
  return html`<section ref=${card} class=${`phone panel${leg ? ` sounds-${leg.sound}` : ""}`} aria-labelledby=${id}>
    <header>
      <h2 id=${id}><${Text} value=${phone.name} /></h2>
      <span class="muted small"><${Text} value=${phone.address} /></span>
      ${
        alone
          ? html`<a class="small" href="#">All phones</a>`
          : html`<a class="small" href=${tabOf(phone.address)} target="_blank" rel="opener"
              >Open in new tab<span class="unseen"> for ${printable(phone.name)}</span></a
            >`
      }
      ${
        !alone &&
        isSmall.value &&
        html`<button type="button" class="small" aria-expanded=${isWhole ? "true" : "false"} onClick=${fold}>
          Keys and log<span class="unseen"> of ${printable(phone.name)}</span>
        </button>`
      }
    </header>
    <${Screen} phone=${phone} leg=${leg} alone=${alone} />
    <div class="acts">${leg ? html`<${Buttons} phone=${phone} leg=${leg} />` : html`<${Calling} phone=${phone} />`}</div>
    ${
      isWhole &&
      html`<${Keypad} phone=${phone} leg=${leg} />
        <${Hand} phone=${phone} />
        <${Story} phone=${phone} open=${alone} />`
    }
    ${leg?.wants_speech && html`<${Message} phone=${phone} leg=${leg} />`}
  </section>`;
}

/** Shows in the tab's title that the phone rings. */
function useTitle(alone, phone, rings) {
  const name = printable(phone.name);
  useEffect(() => {
    if (alone) {
      document.title = rings ? `☎ ring ring! ${name}` : name;
    }
  }, [alone, name, rings]);
}

function Screen({ phone, leg, alone }) {
  return html`<div class="screen">
    ${
      phone.legs.length > 1 &&
      html`<p class="lines" role="group" aria-label="Its calls">
        ${phone.legs.map(
          (one) =>
            html`<button
              key=${one.sid}
              type="button"
              aria-pressed=${one === leg ? "true" : "false"}
              onClick=${() => {
                chosen.value = { ...chosen.value, [phone.address]: one.sid };
              }}
            >
              <${Text} value=${one.other} />
            </button>`,
        )}
      </p>`
    }
    <p class="doing">
      ${leg ? html`${doing(leg)} <${Text} value=${leg.other} />` : "Not in a call"}
      ${leg?.conference_state && html`<span class="tag">${printable(leg.conference_state)}</span>`}
      ${leg?.doing && html`<span class="tag" title="What Twilio does with this call">${leg.doing}</span>`}
      ${leg?.is_speaking && html`<span class="tag">speaking</span>`}
    </p>
    <p class="bubble" aria-live=${alone ? "polite" : "off"}>
      <span>
        ${leg?.wants_keys && html`<strong>Press a key. </strong>`}
        ${leg ? html`<${Text} value=${leg.words} />` : "you hear nothing"}
      </span>
    </p>
  </div>`;
}

function doing(leg) {
  if (leg.status === "in-progress") {
    return "In a call with";
  }
  return leg.is_incoming ? "Called by" : "Calling";
}

function Buttons({ phone, leg }) {
  const act = (what) => () => ask(`/calls/${leg.sid}/${what}`);
  const why = (what) => leg.cannot[what];
  return html`<div class="buttons">
    <${Act} label="Answer" about=${phone.name} class="main" cannot=${why("answer")} onAct=${act("answer")} />
    <${Act} label="Decline" about=${phone.name} cannot=${why("reject")} onAct=${act("reject")} />
    <${Act}
      label=${leg.is_speaking ? "Stop speaking" : "Speak"}
      about=${phone.name}
      cannot=${why("speak")}
      onAct=${act(leg.is_speaking ? "fall-silent" : "speak")}
    />
    <${Act} label="Hang up" about=${phone.name} class="danger" cannot=${why("hangup")} onAct=${act("hangup")} />
  </div>`;
}

/** Form for what a caller says to voicemail or a menu. */
function Message({ phone, leg }) {
  const say = (event) => {
    event.preventDefault();
    ask(`/calls/${leg.sid}/speak`, { text: event.target.said.value }, "said");
    event.target.reset();
  };
  return html`<form class="calling" onSubmit=${say}>
    <label>
      <span class="unseen">What ${printable(phone.name)} says</span>
      <input name="said" required placeholder="what you say" autocomplete="off" />
    </label>
    <button>Say</button>
  </form>`;
}

function Keypad({ phone, leg }) {
  const cannot = leg ? leg.cannot.press : FREE;
  return html`<div class="keypad" role="group" aria-label=${`${printable(phone.name)}'s keypad`}>
    ${KEYS.map(
      (key) =>
        html`<button
          key=${key}
          type="button"
          aria-disabled=${cannot ? "true" : null}
          aria-label=${`Key ${key}`}
          title=${cannot ? `Key ${key}: ${cannot}` : `Key ${key}`}
          onClick=${() => cannot || ask(`/calls/${leg.sid}/press`, { digits: key })}
        >
          ${key}
        </button>`,
    )}
  </div>`;
}

/** Call form: a number from any phone, an application from a browser's. */
function Calling({ phone }) {
  const isBrowser = phone.address.startsWith("client:");
  const offered = numbers.value.filter((it) => isBrowser || !it.application_sid);
  const wish = { number: offered[0]?.number ?? "", to: "", ...wishes.value[phone.address] };
  const target = offered.find((it) => it.number === wish.number) ?? offered[0];
  const set = (change) => {
    wishes.value = { ...wishes.value, [phone.address]: { ...wish, ...change } };
  };
  const call = () =>
    target.application_sid
      ? ask("/browser-calls", {
          identity: phone.address.slice("client:".length),
          app: target.number,
          ...(wish.to && { to: wish.to }),
        })
      : ask("/calls", { from: phone.address, to: target.number });
  const cannot = target ? "" : "the account has no number yet";
  return html`<div class="calling">
    <label>
      <span class="unseen">What ${printable(phone.name)} calls</span>
      <select value=${target?.number ?? ""} onChange=${(event) => set({ number: event.target.value })}>
        ${offered.length === 0 && html`<option value="">no number</option>`}
        ${offered.map(
          (it) =>
            html`<option key=${it.number} value=${it.number}>
              ${it.application_sid ? `through the app ${it.number.slice(0, 6)}…` : printable(it.number)}${it.name && `: ${it.name}`}
            </option>`,
        )}
      </select>
    </label>
    ${
      target?.application_sid &&
      html`<label>
        <span class="unseen">Whom ${printable(phone.name)} calls through the app</span>
        <input
          value=${wish.to}
          placeholder="to: +1…, client:…"
          autocomplete="off"
          onInput=${(event) => set({ to: event.target.value })}
        />
      </label>`
    }
    <${Act} label="Call" about=${phone.name} cannot=${cannot} onAct=${call} />
  </div>`;
}

const KINDS = {
  person: "a person",
  "silent-person": "a silent person",
  "screened-person": "a phone that screens calls",
  mailbox: "a mailbox",
  "mailbox-with-beep": "a mailbox with a beep",
  fax: "a fax",
};

/** Where calls ring, or what the script does. */
function doesOf(phone) {
  if (phone.in_browser) return "calls also ring in a page with the Voice SDK";
  return phone.does && `${phone.by_hand ? "off: " : ""}${printable(phone.does)}`;
}

/** Switches between manual and scripted, and what answers. */
function Hand({ phone }) {
  const answers = ({ target }) => {
    const isPerson = target.value.endsWith("person");
    ask("/phones", { address: phone.address, kind: target.value, by_hand: isPerson && phone.by_hand });
  };
  return html`<div class="calling">
    <select value=${phone.kind} aria-label=${`What answers ${printable(phone.name)}`} onChange=${answers}>
      ${Object.entries(KINDS).map(([kind, words]) => html`<option key=${kind} value=${kind}>answered by ${words}</option>`)}
    </select>
  </div>
  <label class="hand">
    <input
      type="checkbox"
      checked=${phone.by_hand}
      onChange=${(event) => ask("/phones", { address: phone.address, by_hand: event.target.checked })}
    />
    <span>
      I control this phone<span class="unseen"> (${printable(phone.name)})</span>
      ${doesOf(phone) && html`<small>${doesOf(phone)}</small>`}
    </span>
  </label>`;
}

/** What was heard, line by line. */
function Story({ phone, open }) {
  return html`<details class="story" open=${open}>
    <summary>Call audio log<span class="unseen"> (${printable(phone.name)})</span></summary>
    ${
      phone.story.length
        ? html`<ol tabindex="0" aria-label=${`What ${printable(phone.name)} heard`}>
            ${phone.story
              .toReversed()
              .map(
                (line) =>
                  html`<li key=${line.at + line.call + line.words}>
                    <${Time} at=${line.at} as="clock" /> <${Text} value=${line.words} />
                  </li>`,
              )}
          </ol>`
        : html`<p class="muted small">Nothing yet.</p>`
    }
  </details>`;
}

/** Form for a new phone's address. */
export function NewPhone() {
  const add = async (event) => {
    event.preventDefault();
    const form = event.target;
    const body = { address: form.address.value.trim(), by_hand: true };
    const name = form.called.value.trim();
    if (await ask("/phones", name ? { ...body, name } : body, "phone added")) {
      form.reset();
    }
  };
  return html`<details class="new-phone panel">
    <summary>Another phone</summary>
    <form onSubmit=${add}>
      <label>Address <input name="address" required placeholder="client:bob or +1…" autocomplete="off" /></label>
      <label>Name (optional) <input name="called" maxlength="60" autocomplete="off" /></label>
      <button>Add phone</button>
    </form>
  </details>`;
}

/** Whether this tab shows the phone. */
export function isShown(phone) {
  return !only.value || phone.address === only.value;
}
