// The browser's phone: Twilio's Voice SDK, loaded when the agent goes ready. Only this module uses the SDK, and only
// members that its type declarations have. Source: @twilio/voice-sdk 2.18, es5/twilio/device.d.ts, call.d.ts.

import { computed, signal } from "./shared/vendor/preact-signals-core.mjs";

/** The SDK keeps calls for this long without a network (ms). */
const NETWORK_LOSS_MS = 20_000;
/** How long a registration may take (ms). */
const REGISTER_MS = 15_000;
/** Warnings of the SDK about a call, and what they mean for the agent. */
const WARNINGS = {
  "high-rtt": "the delay is high",
  "high-jitter": "the delay varies",
  "high-packet-loss": "sound gets lost",
  "high-packets-lost-fraction": "sound gets lost",
  "low-mos": "the sound quality is low",
  "low-bytes-received": "no sound arrives",
  "low-bytes-sent": "no sound is sent",
  "ice-connectivity-lost": "the connection is interrupted",
};
const SILENT_MICROPHONE = "constant-audio-input-level";
/** Errors that have a cause that the agent can remove. Source: Twilio docs, Voice SDK error codes. */
const SENTENCES = {
  20101: "Twilio does not accept the access token.",
  20104: "The access token for Twilio has expired.",
  31005: "The connection to Twilio was lost.",
  31009: "Twilio can't be reached. Check the network.",
  31401: "The browser refuses the microphone.",
  31402: "The browser can't use the microphone.",
  53000: "The connection to Twilio was lost.",
};
const MICROPHONE = {
  NotAllowedError: "The browser refuses the microphone. Allow it for this page in the address bar, then go ready again.",
  NotReadableError: "Another program uses the microphone. Close it, then go ready again.",
};
/** The agent is ready without one: it may be connected before a call comes. */
const NO_MICROPHONE = "No microphone was found. Connect one before you answer.";

/** A cause that keeps the phone from working, as a sentence. */
export class PhoneError extends Error {
  constructor(message, code = 0) {
    super(message);
    this.code = code;
  }
}

export class Phone {
  /** The calls that ring, the first of them, and the one that was answered; null for none. */
  #waiting = signal([]);
  ringing = computed(() => this.#waiting.value[0] ?? null);
  call = signal(null);
  /** Whether Twilio rings this browser. */
  isRegistered = signal(false);
  isMuted = signal(false);
  /** Names of the SDK's warnings that apply now; the call's connection is being restored. */
  warnings = signal(new Set());
  isReconnecting = signal(false);
  /** Microphones and speakers, `{ id, name }`, and the chosen ones' ids; null if the browser offers no choice. */
  devices = signal(null);

  #device = null;
  #takesCalls = false;
  #accessToken;
  #sdkUrl;
  #on;

  /**
   * @param {string} sdkUrl
   * @param {() => Promise<string>} accessToken
   * @param {{ onMissed: Function, onEnded: Function, onError: (error: PhoneError) => void, onWarning: Function }} on
   */
  constructor(sdkUrl, accessToken, on) {
    this.#sdkUrl = sdkUrl;
    this.#accessToken = accessToken;
    this.#on = on;
  }

  /** Have Twilio ring this browser. */
  async register() {
    this.#takesCalls = true;
    if (!this.#device) {
      await this.#checkMicrophone();
    }
    const [Twilio, token] = await Promise.all([loaded(this.#sdkUrl), this.#accessToken()]);
    if (!this.#device) {
      const device = new Twilio.Device(token, { closeProtection: true, maxCallSignalingTimeoutMs: NETWORK_LOSS_MS });
      // The desk has a ring tone of its own.
      device.audio?.incoming(false);
      this.#device = device;
      this.#follow(device);
    }
    this.#device.updateToken(token);
    if (this.#device.state === "unregistered") {
      await limited(this.#device.register(), REGISTER_MS);
    }
  }

  async #checkMicrophone() {
    if (!navigator.mediaDevices) {
      throw new PhoneError("The browser offers no microphone here: this page needs HTTPS.", 31402);
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      stream.getTracks().forEach((track) => track.stop());
    } catch (error) {
      if (error.name !== "NotFoundError") {
        throw new PhoneError(MICROPHONE[error.name] ?? "The browser can't use the microphone.", 31402);
      }
      this.#on.onWarning(NO_MICROPHONE);
    }
  }

  async unregister() {
    this.#takesCalls = false;
    if (this.#device?.state === "registered") {
      await this.#device.unregister();
    }
  }

  /** Forget calls that ring, without declining them: the next page, or another phone of the agent, may take them. */
  leave() {
    this.#waiting.value.forEach((call) => call.ignore());
  }

  destroy() {
    this.leave();
    this.#device?.destroy();
    this.#device = null;
    this.isRegistered.value = false;
  }

  answer() {
    const call = this.ringing.value;
    if (call && !this.call.value) {
      this.#remove(call);
      this.call.value = call;
      this.isMuted.value = false;
      call.accept();
    }
  }

  decline() {
    this.ringing.value?.reject();
  }

  hangUp() {
    this.call.value?.disconnect();
  }

  mute(isMuted) {
    this.call.value?.mute(isMuted);
  }

  press(digits) {
    this.call.value?.sendDigits(digits);
  }

  /** Why the sound is bad; empty if it isn't. */
  get trouble() {
    const names = this.warnings.value;
    if (this.isReconnecting.value) {
      return "Your connection to Twilio was interrupted. It is being restored.";
    }
    const known = [...names].find((name) => WARNINGS[name]);
    if (known) {
      return `Your network is bad: ${WARNINGS[known]}.`;
    }
    return names.has(SILENT_MICROPHONE) ? "Your microphone sends no sound." : "";
  }

  /** @param {"microphone" | "speaker"} kind */
  async choose(kind, id) {
    const audio = this.#device?.audio;
    try {
      if (kind === "microphone") {
        await audio.setInputDevice(id);
      } else {
        await Promise.all([audio.speakerDevices.set(id), audio.ringtoneDevices.set(id)]);
      }
    } catch {
      this.#on.onError(new PhoneError(`The browser can't use this ${kind}.`));
    }
    this.#listDevices(audio);
  }

  #follow(device) {
    device.on("registered", () => this.#registered(device));
    device.on("unregistered", () => (this.isRegistered.value = false));
    device.on("destroyed", () => (this.isRegistered.value = false));
    device.on("incoming", (call) => this.#ring(call));
    device.on("error", (error) => this.#on.onError(phoneError(error)));
    device.on("tokenWillExpire", () => void this.#renew(device));
    if (device.audio) {
      device.audio.on("deviceChange", () => this.#listDevices(device.audio));
      this.#listDevices(device.audio);
    }
  }

  /** The SDK registers by itself with a new token or connection, also after `unregister`. */
  #registered(device) {
    this.isRegistered.value = this.#takesCalls;
    if (!this.#takesCalls) {
      void device.unregister();
    }
  }

  async #renew(device) {
    try {
      device.updateToken(await this.#accessToken());
    } catch (error) {
      // The call goes on. Twilio says 20104 once the token is too old, and the next `register` brings a new one.
      this.#on.onError(new PhoneError(error.message));
    }
  }

  #ring(call) {
    this.#waiting.value = [...this.#waiting.value, call];
    const over = (how) => () => this.#over(call, how);
    call.on("cancel", over("missed"));
    call.on("reject", over("declined"));
    call.on("disconnect", over("ended"));
    call.on("error", (error) => {
      this.#on.onError(phoneError(error));
      if (call.status() === "closed") {
        this.#over(call, "ended");
      }
    });
    call.on("mute", (isMuted) => (this.isMuted.value = isMuted));
    call.on("warning", (name) => (this.warnings.value = new Set([...this.warnings.value, name])));
    call.on("warning-cleared", (name) => {
      this.warnings.value = new Set([...this.warnings.value].filter((one) => one !== name));
    });
    call.on("reconnecting", () => (this.isReconnecting.value = true));
    call.on("reconnected", () => (this.isReconnecting.value = false));
  }

  #over(call, how) {
    if (this.#waiting.value.includes(call)) {
      this.#remove(call);
      if (how === "missed") {
        this.#on.onMissed(call);
      }
    }
    if (this.call.value === call) {
      this.call.value = null;
      this.warnings.value = new Set();
      this.isReconnecting.value = this.isMuted.value = false;
      this.#on.onEnded(call);
    }
  }

  #remove(call) {
    this.#waiting.value = this.#waiting.value.filter((one) => one !== call);
  }

  #listDevices(audio) {
    const listed = (devices) => [...devices].map(([id, { label }]) => ({ id, name: label || id }));
    const speakers = audio.isOutputSelectionSupported ? listed(audio.availableOutputDevices) : [];
    this.devices.value = {
      microphones: listed(audio.availableInputDevices),
      microphone: audio.inputDevice?.deviceId ?? "default",
      speakers,
      speaker: speakers.length ? ([...audio.speakerDevices.get()][0]?.deviceId ?? "default") : "",
    };
  }
}

/** A call's SID, and what was passed to it. */
export const sidOf = (call) => call?.parameters.CallSid ?? "";
export const callerOf = (call) => call?.parameters.From ?? "";
export const paramsOf = (call) => Object.fromEntries(call?.customParameters ?? []);

function phoneError(error) {
  const code = Number(error?.code ?? 0);
  return new PhoneError(SENTENCES[code] ?? `The phone reports an error: ${error?.message ?? "unknown"}`, code);
}

let loading = null;

/** Load the SDK once for the page; a failed attempt is forgotten. */
function loaded(url) {
  if (globalThis.Twilio?.Device) {
    return Promise.resolve(globalThis.Twilio);
  }
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => (globalThis.Twilio?.Device ? done(globalThis.Twilio) : script.onerror());
    script.onerror = () => {
      loading = null;
      failed(new PhoneError("The phone's software could not be loaded. Try again."));
    };
    document.head.append(script);
  });
  return loading;
}

async function limited(promise, ms) {
  let timer = 0;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new PhoneError("Twilio did not answer. Check the network, then go ready again.")), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
