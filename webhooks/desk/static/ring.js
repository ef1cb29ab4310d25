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
const canNotify = () => "Notification" in globalThis && Notification.permission === "granted";

export class Ring {
  #context = null;
  #timer = 0;
  #gain = null;
  #notification = null;

  /** Browsers allow sound and notifications only after a click: call it in one. */
  unlock() {
    if (navigator.userActivation && !navigator.userActivation.isActive) {
      return; // the desk does it by itself
    }
    this.#context ??= "AudioContext" in globalThis ? new AudioContext() : null;
    void this.#context?.resume();
    if ("Notification" in globalThis && Notification.permission === "default") {
      void Notification.requestPermission();
    }
  }

  /** Whether the browser lets this page ring now: by sound, or by a notification. */
  async isAllowed() {
    if (canNotify()) {
      return true;
    }
    this.#context ??= "AudioContext" in globalThis ? new AudioContext() : null;
    // Without a click before, it may not start, and the promise stays open.
    void this.#context?.resume().catch(() => {});
    const untilMs = Date.now() + STARTS_MS;
    while (this.#context && this.#context.state !== "running" && Date.now() < untilMs) {
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    return this.#context?.state === "running";
  }

  /** @param {string} text Who calls. */
  start(text) {
    this.stop();
    this.#sound();
    this.#timer = setInterval(() => this.#sound(), EVERY_MS);
    if (canNotify() && (document.hidden || this.#context?.state !== "running")) {
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
    this.#gain = this.#notification = null;
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
