// The browser's phone: Twilio's Voice SDK, loaded when the agent goes ready. Only this module uses the SDK, and only
// members that its type declarations have. Source: @twilio/voice-sdk 2.18, es5/twilio/device.d.ts, call.d.ts.

import { batch, signal } from "./shared/vendor/preact-signals-core.mjs";
import { isAboutConnection, isAboutToken, PhoneError, phoneError } from "./phone-errors.js";
import { loadSdk } from "./sdk-loader.js";

/** The SDK keeps calls for this long without a network (ms). */
const NETWORK_LOSS_MS = 20_000;
/** How long a registration may take, while the agent waits for it (ms). */
const REGISTER_MS = 15_000;
/** The SDK registers again by itself. A device that has not been for this long is made new (ms). */
const RECOVER_MS = 40_000;
/** Without a registration, the agent counts as reachable for this long: the SDK needs a moment to connect again (ms). */
export const GRACE_MS = 4_000;
/** An access token is valid for an hour; a device that is made new gets a younger one than this (ms). */
const TOKEN_FRESH_MS = 30 * 60_000;
/** After a failure to get one, the next attempt (ms). */
const TOKEN_RETRY_MS = 5_000;
/** Warnings of the SDK about a call, and what they mean for the agent; the worst first. */
const LOST = "Your network is bad: sound gets lost.";
const WARNINGS = {
  "ice-connectivity-lost": "Your network is bad: the connection is interrupted.",
  "low-bytes-received": "Your network is bad: no sound arrives.",
  "low-bytes-sent": "Your network is bad: no sound is sent.",
  "high-packet-loss": LOST,
  "high-packets-lost-fraction": LOST,
  "high-rtt": "Your network is bad: the delay is high.",
  "high-jitter": "Your network is bad: the delay varies.",
  "low-mos": "Your network is bad: the sound quality is low.",
  "constant-audio-input-level": "Your microphone sends no sound.",
};
const NO_ANSWER = "Twilio did not answer. Check the network, then go ready again.";
const CONNECTION_LOST = "The connection to Twilio was lost: no call reaches you. It is being restored.";
const MICROPHONE = {
  NotAllowedError: "The browser refuses the microphone. Allow it for this page in the address bar, then go ready again.",
  NotReadableError: "Another program uses the microphone. Close it, then go ready again.",
};
/** The agent is ready without one: it may be connected before a call comes. */
const NO_MICROPHONE = "No microphone was found. Connect one before you answer.";

export class Phone {
  /** The calls that ring, and the one that was answered; null for none. */
  waiting = signal([]);
  call = signal(null);
  /** Whether Twilio rings this browser. */
  isRegistered = signal(false);
  isMuted = signal(false);
  /** Names of the SDK's warnings that apply now; the call's connection is being restored. */
  warnings = signal(new Set());
  isReconnecting = signal(false);
  /** Of `microphone` and `speaker`: `all`, as `{ id, name }`, and the used one's `id`; null if the browser offers none. */
  devices = signal(null);

  /** The SDK's, while calls are taken, and until the last one is over. */
  #device = null;
  #takesCalls = false;
  /** Since when Twilio has not rung this browser, and since when the device has tried; and the next attempt (ms). */
  #lostMs = 0;
  #madeMs = 0;
  #retryMs = 0;
  /** The newest access token, `{ token, edge, atMs }`; null for one that is old or was refused. */
  #access = null;
  #isOpening = false;
  /** Since the last registration: when a token was refused (ms), and what was reported. */
  #refusedMs = 0;
  #reported = "";
  #outcome = null;
  #hasMicrophone = false;
  /** What the agent has chosen, by kind: ids. */
  #chosen = { microphone: "", speaker: "" };
  #askAccess;
  #sdkUrl;
  #on;

  /**
   * @param {string} sdkUrl
   * @param {() => Promise<{ token: string, edge: string | null }>} askAccess
   * @param {{ onConnected: Function, onOver: Function, onError: (error: PhoneError) => void, onWarning: Function }} on
   *   `onOver` gets the call, and whether it had been answered.
   */
  constructor(sdkUrl, askAccess, on) {
    this.#sdkUrl = sdkUrl;
    this.#askAccess = askAccess;
    this.#on = on;
  }

  /** Have Twilio ring this browser until `unregister`; it may not be so yet when this fails. */
  async register() {
    this.#takesCalls = true;
    this.#lostMs = Date.now();
    this.#isOpening = true;
    try {
      await this.#checkMicrophone();
      if (!this.#device) {
        this.#access = null; // the page may have signed in as another agent
        await this.#open();
      }
    } finally {
      this.#isOpening = false;
    }
    let timer = 0;
    const outcome = new Promise((done, failed) => {
      this.#outcome = { done, failed };
      timer = setTimeout(() => failed(new PhoneError(NO_ANSWER)), REGISTER_MS);
      if (this.isRegistered.value || !this.#takesCalls) {
        done();
      }
    });
    await outcome.finally(() => {
      clearTimeout(timer);
      this.#outcome = null;
    });
  }

  /** Have Twilio ring this browser no more; calls that go on, or ring, keep the device until they are over. */
  unregister() {
    this.#takesCalls = false;
    this.#outcome?.done();
    this.#retire();
  }

  /** Whether Twilio rings this browser, or did a moment ago. */
  get isReachable() {
    return this.isRegistered.value || Date.now() - this.#lostMs < GRACE_MS;
  }

  /** Do what is due. Call it often: a hidden page's timers are late. */
  tend() {
    const isLost = !this.isRegistered.value && Date.now() - Math.max(this.#lostMs, this.#madeMs) > RECOVER_MS && !this.#hasCalls;
    if (this.#takesCalls && Date.now() > this.#retryMs && (isLost || !this.#access || !this.#device)) {
      void this.#refresh();
    }
  }

  get #hasCalls() {
    return Boolean(this.call.value) || this.waiting.value.length > 0;
  }

  async #open() {
    const [Twilio, { token, edge }] = await Promise.all([loadSdk(this.#sdkUrl), this.#freshAccess()]);
    if (!this.#takesCalls || this.#device) {
      return;
    }
    const device = new Twilio.Device(token, {
      allowIncomingWhileBusy: true, // or a call that was lost could not be taken again
      closeProtection: true,
      edge: edge ?? undefined,
      enableImprovedSignalingErrorPrecision: true, // otherwise a wrong signature looks like a lost connection
      maxCallSignalingTimeoutMs: NETWORK_LOSS_MS,
    });
    // The desk has a ring tone of its own.
    device.audio?.incoming(false);
    this.#device = device;
    this.#madeMs = Date.now();
    this.#follow(device);
    device.register().catch(() => {}); // events say what has become of it
  }

  async #freshAccess() {
    if (!this.#access || Date.now() - this.#access.atMs > TOKEN_FRESH_MS) {
      this.#access = { ...(await this.#askAccess()), atMs: Date.now() };
    }
    return this.#access;
  }

  /** Give the device a fresh token. One that is not registered is made new instead, unless that would end a call. */
  async #refresh() {
    if (this.#isOpening) {
      return;
    }
    this.#isOpening = true;
    try {
      const { token } = await this.#freshAccess();
      if (this.#device && (this.isRegistered.value || this.#hasCalls)) {
        this.#device.updateToken(token);
      } else {
        this.#discard();
        await this.#open();
      }
    } catch (error) {
      this.#retryMs = Date.now() + TOKEN_RETRY_MS;
      this.#fail(error);
    } finally {
      this.#isOpening = false;
    }
  }

  /** Say once what keeps the phone from being registered. */
  #fail(error) {
    if (this.#outcome) {
      this.#outcome.failed(error);
    } else if (this.#reported !== error.message) {
      this.#reported = error.message;
      this.#on.onError(new PhoneError(error.message, error.code, true));
    }
  }

  async #checkMicrophone() {
    if (this.#hasMicrophone) {
      return;
    }
    if (!navigator.mediaDevices) {
      throw new PhoneError("The browser offers no microphone here: this page needs HTTPS.", 31402);
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      stream.getTracks().forEach((track) => track.stop());
      this.#hasMicrophone = true;
    } catch (error) {
      if (error.name !== "NotFoundError") {
        throw new PhoneError(MICROPHONE[error.name] ?? "The browser can't use the microphone.", 31402);
      }
      this.#on.onWarning(NO_MICROPHONE);
    }
  }

  /** Forget calls that ring, without declining them: the next page, or another phone, may take them. */
  leave() {
    this.waiting.value.forEach((call) => call.ignore());
  }

  destroy() {
    this.#takesCalls = false;
    this.leave();
    this.#discard();
  }

  #discard() {
    const device = this.#device;
    this.#device = null; // its last events say nothing new
    this.isRegistered.value = false;
    this.devices.value = null;
    device?.destroy();
  }

  #retire() {
    if (!this.#takesCalls && !this.#hasCalls) {
      this.#discard();
    }
  }

  /** Answer a call that rings; the SDK ends the one before. */
  answer(call) {
    if (this.waiting.value.includes(call)) {
      const former = this.call.value;
      batch(() => {
        this.#remove(call);
        this.#become(call);
      });
      if (former) {
        this.#on.onOver(former, true);
      }
      call.accept();
    }
  }

  decline(call) {
    call.reject();
  }

  #become(call) {
    this.call.value = call;
    this.warnings.value = new Set();
    this.isReconnecting.value = this.isMuted.value = false;
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
    if (this.isReconnecting.value) {
      return "Your connection to Twilio was interrupted. It is being restored.";
    }
    const [known] = Object.entries(WARNINGS).filter(([name]) => this.warnings.value.has(name));
    return known?.[1] ?? "";
  }

  /** @param {"microphone" | "speaker"} kind */
  choose(kind, id) {
    this.#chosen[kind] = id;
    return this.#use(kind);
  }

  async #use(kind) {
    const { audio } = this.#device ?? {};
    const id = this.#chosen[kind];
    try {
      await (kind === "microphone" ? audio.setInputDevice(id) : Promise.all([audio.speakerDevices.set(id), audio.ringtoneDevices.set(id)]));
    } catch {
      this.#chosen[kind] = "";
      this.#on.onError(new PhoneError(`The browser can't use this ${kind}.`));
    }
    if (this.#device?.audio === audio) {
      this.#listDevices(audio);
    }
  }

  #follow(device) {
    const mine = (react) => (given) => device === this.#device && react(given);
    device.on("registered", mine(() => this.#registered()));
    device.on("unregistered", mine(() => this.#lost()));
    device.on("destroyed", mine(() => this.#lost()));
    device.on("incoming", mine((call) => this.#ring(call)));
    device.on("error", mine((error) => this.#failed(phoneError(error))));
    device.on("tokenWillExpire", mine(() => this.#renew()));
    const { audio } = device;
    if (audio) {
      const changed = mine(() => (this.#listDevices(audio), this.#useChosen()));
      audio.on("deviceChange", changed);
      changed();
    }
  }

  #registered() {
    this.#refusedMs = 0;
    this.#reported = "";
    this.isRegistered.value = true;
    this.#outcome?.done();
  }

  #lost() {
    if (this.isRegistered.value) {
      this.#lostMs = Date.now();
      this.isRegistered.value = false;
      this.#fail(new PhoneError(CONNECTION_LOST, 53000));
    }
    // If they still ring, Twilio sends them once more.
    this.waiting.value.filter((call) => call.status() !== "pending").forEach((call) => this.#over(call));
  }

  #failed(error) {
    if (isAboutToken(error)) {
      this.#refused(error);
    } else if (!isAboutConnection(error)) {
      this.#on.onError(error);
    }
  }

  /** Twilio refuses even valid tokens at times, so a refusal leads to another token; one soon after doesn't. */
  #refused(error) {
    if (this.#isOpening) {
      return; // another word about the same token
    }
    const isRepeated = Date.now() - this.#refusedMs < RECOVER_MS;
    this.#refusedMs = Date.now();
    this.#access = null;
    if (!isRepeated) {
      void this.#refresh();
    } else {
      this.#retryMs = Date.now() + RECOVER_MS;
      this.#fail(error);
    }
  }

  #renew() {
    this.#access = null;
    void this.#refresh();
  }

  #ring(call) {
    call.on("accept", () => this.#on.onConnected(call));
    call.on("cancel", () => this.#over(call));
    call.on("reject", () => this.#over(call));
    call.on("disconnect", () => this.#over(call));
    call.on("error", (error) => {
      this.#on.onError(phoneError(error));
      if (call.status() === "closed") {
        this.#over(call);
      }
    });
    call.on("mute", (isMuted) => (this.isMuted.value = isMuted));
    call.on("warning", (name) => (this.warnings.value = new Set([...this.warnings.value, name])));
    call.on("warning-cleared", (name) => {
      this.warnings.value = new Set([...this.warnings.value].filter((one) => one !== name));
    });
    // The SDK says it of calls that ring, too.
    const reconnecting = (isSo) => () => this.call.value === call && (this.isReconnecting.value = isSo);
    call.on("reconnecting", reconnecting(true));
    call.on("reconnected", reconnecting(false));
    this.waiting.value = [...this.waiting.value, call]; // it may be answered at once
  }

  #over(call) {
    if (this.waiting.value.includes(call)) {
      this.#remove(call);
      this.#on.onOver(call, false);
    } else if (this.call.value === call) {
      this.#become(null);
      this.#on.onOver(call, true);
    }
    this.#retire();
  }

  #remove(call) {
    this.waiting.value = this.waiting.value.filter((one) => one !== call);
  }

  #listDevices(audio) {
    const listed = (devices) => [...devices].map(([id, { label }]) => ({ id, name: label || id }));
    const speakers = audio.isOutputSelectionSupported ? listed(audio.availableOutputDevices) : [];
    const [speaker] = speakers.length ? audio.speakerDevices.get() : [];
    this.devices.value = {
      microphone: { all: listed(audio.availableInputDevices), id: audio.inputDevice?.deviceId ?? "default" },
      speaker: { all: speakers, id: speaker?.deviceId ?? "default" },
    };
  }

  /** Use what the agent has chosen before, on a new device, or with a headset that is back. */
  #useChosen() {
    for (const [kind, { all, id }] of Object.entries(this.devices.value)) {
      if (this.#chosen[kind] !== id && all.some((one) => one.id === this.#chosen[kind])) {
        void this.#use(kind);
      }
    }
  }
}

/** A call's SID, and what was passed to it. */
export const sidOf = (call) => call?.parameters.CallSid ?? "";
export const callerOf = (call) => call?.parameters.From ?? "";
export const paramsOf = (call) => Object.fromEntries(call?.customParameters ?? []);
