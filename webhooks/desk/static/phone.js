// The browser's phone: Twilio's Voice SDK, loaded when the agent goes ready. Only this module and `audio-devices.js` use
// the SDK, and only members that its type declarations have. Source: @twilio/voice-sdk 2.18, es5/twilio/device.d.ts, call.d.ts.

import { batch, signal } from "./shared/vendor/preact-signals-core.mjs";
import { AudioDevices } from "./audio-devices.js";
import { isAboutConnection, isAboutToken, PhoneError, phoneError } from "./phone-errors.js";
import { loadSdk } from "./sdk-loader.js";

/** How long the SDK keeps calls without a network, and how long the agent waits for a registration (ms). */
const NETWORK_LOSS_MS = 20_000;
const REGISTER_MS = 15_000;
/** The SDK registers again by itself. A device that has not done so for this long is made new (ms). */
const RECOVER_MS = 40_000;
/** Meanwhile, the agent counts as reachable for this long: the SDK needs a moment (ms). */
export const GRACE_MS = 4_000;
/** An access token is valid for an hour; a new device gets a younger one than this. When to ask again (ms). */
const TOKEN_FRESH_MS = 30 * 60_000;
const TOKEN_RETRY_MS = 5_000;
const NO_ANSWER = "Twilio did not answer. Check the network, then go ready again.";
const CONNECTION_LOST = "The connection to Twilio was lost: no call reaches you. It is being restored.";
const MICROPHONE = {
  NotAllowedError: "The browser refuses the microphone. Allow it for this page in the address bar, then go ready again.",
  NotReadableError: "Another program uses the microphone. Close it, then go ready again.",
};

export class Phone {
  waiting = signal([]);
  call = signal(null);
  isRegistered = signal(false);
  isMuted = signal(false);
  /** Names of the SDK's warnings that apply now. */
  warnings = signal(new Set());
  isReconnecting = signal(false);

  /** The SDK's, while calls are taken, and until the last one is over. */
  #device = null;
  #takesCalls = false;
  /** Since when Twilio has not rung this browser, when the device was made, and the next attempt (ms). */
  #lostMs = 0;
  #madeMs = 0;
  #retryMs = 0;
  /** The access token, `{ token, edge, atMs }`; null for one that is old or was refused. */
  #access = null;
  #isOpening = false;
  /** Since the last registration: when a token was refused, and what was reported. */
  #refusedMs = 0;
  #reported = "";
  #outcome = null;
  #hasMicrophone = false;
  #askAccess;
  #sdkUrl;
  #on;

  constructor(sdkUrl, askAccess, on) {
    this.#sdkUrl = sdkUrl;
    this.#askAccess = askAccess;
    this.#on = on;
    this.audioDevices = new AudioDevices(on.onError);
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

  unregister() {
    this.#takesCalls = false;
    this.#outcome?.done();
    this.#retire();
  }

  get isReachable() {
    return this.isRegistered.value || Date.now() - this.#lostMs < GRACE_MS;
  }

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
    device.audio?.incoming(false); // the desk has a ring tone of its own
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

  /** Give the device a fresh token, or make it new if it is not registered, unless that would end a call. */
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
      // The agent is ready without one: it may be connected before a call comes.
      this.#on.onWarning("No microphone was found. Connect one before you answer.");
    }
  }

  /** Ring no more without declining: the next page, or another phone, may take the calls. */
  leave() {
    this.waiting.value.forEach((call) => call.ignore());
  }

  /** The page was left and is shown again: the SDK's device may be gone. */
  back() {
    this.#lostMs = Date.now();
    this.#discard();
    this.waiting.value.forEach((call) => this.#over(call)); // those that still ring come once more
    this.tend();
  }

  destroy() {
    this.#takesCalls = false;
    this.#discard();
  }

  #discard() {
    const device = this.#device;
    this.#device = null; // its last events say nothing new
    this.isRegistered.value = false;
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

  get trouble() {
    if (this.isReconnecting.value) {
      return "Your connection to Twilio was interrupted. It is being restored.";
    }
    // One without sound is no sign of a bad network: the others may be silent.
    const isOfNetwork = (name) => !name.startsWith("constant-audio");
    if ([...this.warnings.value].some(isOfNetwork)) {
      return "Your network is bad: sound gets lost, or comes late.";
    }
    return this.warnings.value.has("constant-audio-input-level") ? "Your microphone sends no sound." : "";
  }

  #follow(device) {
    const mine = (react) => (given) => device === this.#device && react(given);
    device.on("registered", mine(() => this.#registered()));
    device.on("unregistered", mine(() => this.#lost()));
    device.on("destroyed", mine(() => this.#lost()));
    device.on("incoming", mine((call) => this.#ring(call)));
    device.on("error", mine((error) => this.#failed(phoneError(error))));
    this.audioDevices.follow(device.audio);
    device.on("tokenWillExpire", mine(() => ((this.#access = null), void this.#refresh())));
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
}

export const sidOf = (call) => call?.parameters.CallSid ?? "";
export const paramsOf = (call) => Object.fromEntries(call?.customParameters ?? []);
