// How a call is announced: a ring tone, and a notification while the page is hidden.

import { printable } from "./shared/text.js";

/** A ring of two tones (Hz), 2 s on and 4 s off, at a low volume. Source: ITU-T E.180, supplement 2, North America. */
const TONES_HZ = [440, 480];
const ON_S = 2;
const EVERY_MS = 6_000;
const VOLUME = 0.08;
/** How long a sound that is allowed takes to start at most, and how often the desk looks (ms). */
const STARTS_MS = 500;
const POLL_MS = 20;
const notifications = () => globalThis.Notification?.permission;

export class Ring {
  #context = null;
  #timer = 0;
  #gain = null;
  #notification = null;
  #text = null;

  /** Browsers allow sound and notifications only after a click: call it in one. */
  unlock() {
    if (navigator.userActivation && !navigator.userActivation.isActive) {
      return; // the desk does it by itself
    }
    this.#resume();
    if (notifications() === "default") {
      void Notification.requestPermission();
    }
  }

  #resume() {
    this.#context ??= "AudioContext" in globalThis ? new AudioContext() : null;
    void this.#context?.resume().catch(() => {});
  }

  get #isSilent() {
    return this.#context?.state !== "running";
  }

  async isAllowed() {
    if (notifications() === "granted") {
      return true;
    }
    this.#resume();
    const untilMs = Date.now() + STARTS_MS;
    while (this.#context && this.#isSilent && Date.now() < untilMs) {
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    return !this.#isSilent;
  }

  start() {
    this.stop();
    this.#sound();
    this.#timer = setInterval(() => this.#sound(), EVERY_MS);
  }

  /** Say who calls, where the page is not seen or heard. */
  notify(text) {
    if (notifications() === "granted" && text !== this.#text && (document.hidden || this.#isSilent)) {
      this.#text = text;
      try {
        this.#notification = new Notification("Incoming call", { body: printable(text), tag: "conferral-desk" });
        this.#notification.addEventListener("click", () => window.focus());
      } catch {
        // Some phones' browsers allow notifications only to service workers.
      }
    }
  }

  stop() {
    clearInterval(this.#timer);
    this.#gain?.disconnect();
    this.#notification?.close();
    this.#gain = this.#notification = this.#text = null;
  }

  #sound() {
    const context = this.#context;
    if (!context) {
      return;
    }
    this.#gain?.disconnect();
    this.#gain = new GainNode(context, { gain: VOLUME });
    this.#gain.connect(context.destination);
    for (const frequency of TONES_HZ) {
      const tone = new OscillatorNode(context, { frequency });
      tone.connect(this.#gain);
      tone.start();
      tone.stop(context.currentTime + ON_S);
    }
  }
}
