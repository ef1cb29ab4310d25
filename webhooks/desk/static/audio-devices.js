// The choice of microphone and speaker.
// Source: @twilio/voice-sdk 2.18, es5/twilio/audiohelper.d.ts, outputdevicecollection.d.ts.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { PhoneError } from "./phone-errors.js";

export class AudioDevices {
  /** By kind, what the browser offers, `[id, name]`, and the id in use; null without a phone. */
  offered = signal(null);
  /** Ids that the agent has chosen, by kind: a new phone uses them, and so does a headset that is back. */
  #chosen = {};
  #audio = null;
  #onError;

  constructor(onError) {
    this.#onError = onError;
  }

  follow(audio) {
    this.#audio = audio;
    audio?.on("deviceChange", () => audio === this.#audio && this.#changed(audio));
    this.offered.value = null;
    if (audio) {
      this.#changed(audio);
    }
  }

  async choose(kind, id) {
    if (this.#audio && (await this.#use(this.#audio, kind, id))) {
      this.#chosen[kind] = id;
    } else {
      this.#onError(new PhoneError(`The browser can't use this ${kind}.`));
    }
  }

  async #use(audio, kind, id) {
    try {
      await (kind === "microphone" ? audio.setInputDevice(id) : Promise.all([audio.speakerDevices.set(id), audio.ringtoneDevices.set(id)]));
      return true;
    } catch {
      return false;
    } finally {
      if (audio === this.#audio) {
        this.#list(audio);
      }
    }
  }

  #changed(audio) {
    this.#list(audio);
    for (const [kind, id] of Object.entries(this.#chosen)) {
      const { known, used } = this.offered.value[kind];
      if (id !== used && known.some(([one]) => one === id)) {
        void this.#use(audio, kind, id);
      }
    }
  }

  #list(audio) {
    const listed = (devices) => [...devices].map(([id, { label }]) => [id, label || id]);
    const canChoose = audio.isOutputSelectionSupported;
    this.offered.value = {
      microphone: { known: listed(audio.availableInputDevices), used: audio.inputDevice?.deviceId ?? "default" },
      speaker: {
        known: canChoose ? listed(audio.availableOutputDevices) : [],
        used: (canChoose && [...audio.speakerDevices.get()][0]?.deviceId) || "default",
      },
    };
  }
}
