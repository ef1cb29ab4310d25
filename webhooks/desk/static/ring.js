// How a call is announced: a ring tone, and a notification while the page is hidden.

import { printable } from "./shared/text.js";

/** A ring of two tones (Hz), 2 s on and 4 s off, at a low volume. Source: ITU-T E.180, supplement 2, North America. */
const TONES_HZ = [440, 480];
const ON_S = 2;
const EVERY_MS = 6_000;
const VOLUME = 0.08;

export class Ring {
  #context = null;
  #timer = 0;
  #gain = null;
  #notification = null;

  /** Browsers allow sound and notifications only after a click: call it in one. */
  unlock() {
    this.#context ??= "AudioContext" in globalThis ? new AudioContext() : null;
    void this.#context?.resume();
    if ("Notification" in globalThis && Notification.permission === "default") {
      void Notification.requestPermission();
    }
  }

  /** @param {string} text Who calls. */
  start(text) {
    this.stop();
    this.#sound();
    this.#timer = setInterval(() => this.#sound(), EVERY_MS);
    if (document.hidden && "Notification" in globalThis && Notification.permission === "granted") {
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
