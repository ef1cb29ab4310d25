// Buttons that stay in their places. What is not possible is disabled, and says why.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { html } from "./shared/html.js";
import { Text } from "./shared/text.js";

/** How long a button does nothing that becomes possible under the pointer, or while it has the focus (ms). */
const GUARD_MS = 1_000;

/** Keeps a click from what was not there a moment ago. */
export class Guard {
  root = null;
  #point = [-1, -1];
  /** The place under the pointer; the element with the focus. */
  #under = "";
  #element = null;
  /** What each place's button does; empty while it is not possible. Until when it is held (ms). */
  #meanings = new Map();
  #heldUntilMs = new Map();
  #changes = signal(0);

  watch(root, signal) {
    this.root = root;
    const pointed = ({ clientX, clientY, target }) => {
      this.#point = [clientX, clientY];
      this.#under = placeOf(target);
    };
    root.addEventListener("pointermove", pointed, { signal });
    root.addEventListener("pointerdown", pointed, { signal });
    root.addEventListener("focusin", ({ target }) => (this.#element = target), { signal });
    root.addEventListener("focusout", ({ target }) => {
      // One that is removed keeps its place in the desk, see `drawn`.
      queueMicrotask(() => target.isConnected && this.#element === target && (this.#element = null));
    }, { signal });
  }

  holds(place, meaning) {
    if (meaning && meaning !== this.#meanings.get(place) && [this.#under, placeOf(this.root.activeElement)].includes(place)) {
      this.#hold(place);
    }
    this.#meanings.set(place, meaning);
    void this.#changes.value;
    return (this.#heldUntilMs.get(place) ?? 0) > Date.now();
  }

  /** Once the page is drawn: forget what a gone button said, hold what came under the pointer, keep the focus. */
  drawn(asked) {
    if (asked.peek().text && !this.root.querySelector(`[data-key="${asked.peek().place}"]`)) {
      queueMicrotask(() => (asked.value = {}));
    }
    const place = placeOf(this.root.elementFromPoint(...this.#point));
    if (place && place !== this.#under) {
      this.#hold(place);
      queueMicrotask(() => this.#changes.value++);
    }
    this.#under = place;
    if (this.#element && !this.#element.isConnected) {
      this.#element = null;
      if (!this.root.activeElement && [document.body, this.root.host].includes(document.activeElement)) {
        this.root.querySelector("[data-home]")?.focus({ preventScroll: true });
      }
    }
  }

  #hold(place) {
    this.#heldUntilMs.set(place, Date.now() + GUARD_MS);
    setTimeout(() => this.#changes.value++, GUARD_MS + 20);
  }
}

const placeOf = (element) => element?.closest?.("[data-key]")?.dataset.key ?? "";

/** `place` is the button's id, `name` what screen readers say, `why` it is not possible, `opens` a sheet. */
export function Key({ desk, place, label, name, hint = "", why = "", isPending, isMain, isUrgent, opens, class: more = "", run, children }) {
  const isPossible = !why && !isPending;
  const isHeld = desk.guard.holds(place, isPossible ? label : "") && !isUrgent;
  const isOpen = opens && desk.panel.value === opens;
  const said = why || hint || undefined;
  const { asked } = desk;
  if (asked.peek().place === place && asked.peek().why !== why) {
    queueMicrotask(() => (asked.value = {})); // it is not true any more
  }
  const onClick = () => {
    const said = why || (isHeld ? "it has just become possible. Press it again" : "");
    asked.value = said ? { place, why, text: `${label}: ${said}.` } : {};
    if (isPossible && !isHeld) {
      opens ? desk.open(isOpen ? "" : opens) : run();
    }
  };
  return html`<button
    type="button"
    class=${`${isMain && !why ? "main" : ""} ${more}`}
    data-key=${place}
    title=${said}
    aria-label=${name}
    aria-description=${said}
    aria-disabled=${!isPossible || isHeld}
    aria-expanded=${opens ? Boolean(isOpen) : undefined}
    onKeyDown=${(event) => event.repeat && event.preventDefault()}
    onClick=${onClick}
  >
    <span><${Text} value=${label} /></span>${children}
  </button>`;
}

export const isOfTheDesk = ({ about }) => ["phone", "token", "call", "registration"].includes(about);

/** Under the buttons, in a line that is always there: why one is not possible, what has failed, or what has happened. */
export function Said({ desk, news }) {
  const asked = desk.asked.value.text;
  const notice = desk.notices.value.findLast((one) => !isOfTheDesk(one));
  return html`<div class="said">
    <p role="status">${asked && html`<${Text} value=${asked} />`}</p>
    ${notice && !asked && html`<p role="alert" class=${`is-${notice.kind}`}><${Text} value=${notice.text} /></p>`}
    ${news && !notice && !asked && html`<p><${Text} value=${news} /></p>`}
  </div>`;
}
