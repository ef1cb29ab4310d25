// Twilio's Voice JavaScript SDK, as far as the sandbox models it: a classic script that sets `window.Twilio`.
//
// The page plays a phone of the sandbox that the script comes from. No sound is sent or played, but a microphone is opened,
// as the SDK does. Names and order of events are those of npm's @twilio/voice-sdk 2.18.5; what isn't modeled is absent.
// What differs is in the sandbox's docs/fidelity.md.

(() => {
  "use strict";

  const SIGNALING = "SIGNALING_URL"; // the sandbox writes its own: the page's script may have redirected here
  const RETRY_MS = 100;
  const RETRY_MAX_MS = 20_000;
  const CALL_TIMEOUT_MAX_S = 30;
  const LOST = 1006; // close code of a connection that broke, or couldn't be opened

  /** Names and explanations of errors. Source: the SDK's `errors/generated.d.ts`. */
  const ERRORS = {
    20101: ["AccessTokenInvalid", "Twilio was unable to validate your Access Token"],
    20104: ["AccessTokenExpired", "The Access Token has expired"],
    20151: ["AuthenticationFailed", "The Authentication with the provided JWT failed"],
    31005: ["ConnectionError", "A connection error occurred during the call"],
    31009: ["TransportError", "No transport available to send or receive messages"],
    31100: ["MalformedRequestError", "The request could not be understood due to malformed syntax."],
    31401: ["PermissionDeniedError", "The browser or end-user denied permissions to user media."],
    31402: ["AcquisitionFailedError", "Permissions were allowed, however getting the media failed."],
    53001: ["ConnectionDisconnected", "Raised whenever the signaling connection is unexpectedly disconnected."],
  };
  /** Codes of signaling errors that the SDK reports as others. */
  const REPORTED_AS = { 31201: 20151, 31204: 20101, 31205: 20104 };

  class TwilioError extends Error {
    constructor(code, originalError) {
      const [name, explanation] = ERRORS[code];
      super(`${name} (${code}): ${explanation}`);
      Object.assign(this, { name, code, explanation, originalError });
    }
  }

  /** An error of the page: `InvalidStateError`, `InvalidArgumentError`, or `NotSupportedError`. */
  const pageError = (name, message) => Object.assign(new Error(message), { name });

  /** The part of Node's EventEmitter that pages use. */
  class EventEmitter {
    #listeners = new Map();

    on(name, listener) {
      this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
      return this;
    }

    once(name, listener) {
      const first = (...given) => {
        this.off(name, first);
        listener.apply(this, given);
      };
      first.listener = listener;
      return this.on(name, first);
    }

    off(name, listener) {
      const others = (this.#listeners.get(name) ?? []).filter((it) => it !== listener && it.listener !== listener);
      this.#listeners.set(name, others);
      return this;
    }

    removeAllListeners(name) {
      name === undefined ? this.#listeners.clear() : this.#listeners.delete(name);
      return this;
    }

    emit(name, ...given) {
      const listeners = this.#listeners.get(name) ?? [];
      if (name === "error" && !listeners.length) throw given[0];
      listeners.forEach((listener) => listener.apply(this, given));
      return listeners.length > 0;
    }
  }

  /** Resolves at one event, and rejects at another. */
  const settled = (emitter, good, bad) =>
    new Promise((resolve, reject) => emitter.once(good, () => resolve()).once(bad, () => reject()));

  /** The connection to the sandbox, which it opens again until `destroy`. Emits what the sandbox sends, by type. */
  class Signaling extends EventEmitter {
    #socket;
    #token;
    #reconnectTimeout;
    #queue = [];
    #retryMs = RETRY_MS;
    #isDestroyed = false;
    #wasConnected = false;

    constructor(token, callTimeoutMs) {
      super();
      this.#token = token;
      this.#reconnectTimeout = Math.min(Math.ceil(callTimeoutMs / 1000), CALL_TIMEOUT_MAX_S);
      this.on("error", () => {});
      this.on("connected", () => (this.#wasConnected = true));
      this.on("close", () => this.destroy());
      this.#open();
    }

    get isOpen() { return this.#socket.readyState === WebSocket.OPEN; }

    #open() {
      if (this.#isDestroyed) return;
      this.#socket = new WebSocket(SIGNALING);
      this.#socket.onopen = () => {
        this.#retryMs = RETRY_MS;
        this.setToken(this.#token);
        this.#queue.splice(0).forEach((message) => this.#socket.send(message));
      };
      this.#socket.onmessage = ({ data }) => {
        const { type, payload } = JSON.parse(data);
        this.#isDestroyed || this.emit(type, payload);
      };
      this.#socket.onclose = ({ code }) => {
        if (this.#isDestroyed) return;
        if (code === LOST) this.#emitError(31005);
        if (this.#wasConnected) this.emit("transportClose");
        if (this.#wasConnected) this.emit("offline");
        this.#wasConnected = false;
        setTimeout(() => this.#open(), this.#retryMs);
        this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MAX_MS);
      };
    }

    setToken(token) {
      this.#token = token;
      this.isOpen && this.publish("listen", { token, reconnectTimeout: this.#reconnectTimeout });
    }

    /** Sends a message; without a connection, that is an error, and by default it is sent later. */
    publish(type, payload, { isRetried = true } = {}) {
      const message = JSON.stringify({ type, payload });
      if (this.isOpen) {
        this.#socket.send(message);
        return;
      }
      isRetried && this.#queue.push(message);
      this.#emitError(31009);
    }

    #emitError(code) {
      this.emit("error", { error: { code, message: ERRORS[code][1] } });
    }

    destroy() {
      this.#isDestroyed = true;
      this.#socket.close();
      this.emit("offline");
    }
  }

  // Names that pages don't see.
  const destroy = Symbol("destroy");
  const use = Symbol("use");
  const stateNames = (...names) => Object.fromEntries(names.map((name) => [name, name.toLowerCase()]));
  const stop = (stream) => stream?.getTracks().forEach((track) => track.stop());

  class OutputDeviceCollection {
    #available;
    #active = new Set();

    constructor(available) {
      this.#available = available;
    }

    delete(device) {
      const wasActive = this.#active.delete(device);
      const next = this.#available.get("default") ?? [...this.#available.values()][0];
      if (!this.#active.size && next) this.#active.add(next);
      return wasActive;
    }

    get() { return this.#active; }

    async set(deviceIdOrIds) {
      const ids = [deviceIdOrIds].flat();
      const missing = ids.filter((id) => !this.#available.has(id));
      if (!ids.length) throw pageError("InvalidArgumentError", "Must specify at least one device to set");
      if (missing.length) throw pageError("InvalidArgumentError", `Devices not found: ${missing.join(", ")}`);
      this.#active.clear();
      ids.forEach((id) => this.#active.add(this.#available.get(id)));
    }
  }

  class AudioHelper extends EventEmitter {
    availableInputDevices = new Map();
    availableOutputDevices = new Map();
    isOutputSelectionSupported = "setSinkId" in HTMLAudioElement.prototype && !!navigator.mediaDevices;
    ringtoneDevices = new OutputDeviceCollection(this.availableOutputDevices);
    speakerDevices = new OutputDeviceCollection(this.availableOutputDevices);
    #inputDevice = null;
    #inputStream = null;
    #rings = true;
    #onInput;
    #update = () => this.#updateDevices();

    constructor(onInput) {
      super();
      this.#onInput = onInput;
      navigator.mediaDevices?.addEventListener("devicechange", this.#update);
      // With the permission, devices get their names.
      const permission = navigator.permissions?.query({ name: "microphone" });
      permission?.then((it) => it.addEventListener("change", this.#update)).catch(() => {});
      this.#update();
    }

    get inputDevice() { return this.#inputDevice; }
    get inputStream() { return this.#inputStream; }

    async setInputDevice(deviceId) {
      const device = this.availableInputDevices.get(deviceId);
      if (!device) throw pageError("InvalidArgumentError", `Device not found: ${deviceId}`);
      if (this.#inputDevice?.deviceId === deviceId) return;
      this.#replace(device, await navigator.mediaDevices.getUserMedia({ audio: { deviceId: { exact: deviceId } } }));
    }

    async unsetInputDevice() {
      if (this.#inputDevice) this.#replace(null, null);
    }

    /** Whether the SDK would play its ring tone. */
    incoming(doEnable = this.#rings) {
      this.#rings = doEnable;
      return doEnable;
    }

    [destroy]() {
      stop(this.#inputStream);
      this.removeAllListeners();
      navigator.mediaDevices?.removeEventListener("devicechange", this.#update);
    }

    #replace(device, stream) {
      this.#onInput(stream);
      stop(this.#inputStream);
      [this.#inputDevice, this.#inputStream] = [device, stream];
    }

    async #updateDevices() {
      const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
      this.#updateKind(found, "audiooutput", this.availableOutputDevices, (lost) => {
        const wasRingtone = this.ringtoneDevices.delete(lost);
        return this.speakerDevices.delete(lost) || wasRingtone;
      });
      this.#updateKind(found, "audioinput", this.availableInputDevices, (lost) => {
        if (this.#inputDevice?.deviceId !== lost.deviceId) return false;
        stop(this.#inputStream);
        this.#inputDevice = this.#inputStream = null;
        return true;
      });
    }

    #updateKind(found, kind, known, remove) {
      const now = new Map(found.filter((it) => it.kind === kind).map((it) => [it.deviceId, it]));
      const lost = [...known.values()].filter((it) => !now.has(it.deviceId));
      const fresh = [...now.values()].filter((it) => known.get(it.deviceId)?.label !== it.label);
      lost.forEach((it) => known.delete(it.deviceId));
      fresh.forEach((it) => known.set(it.deviceId, it));
      const lostActive = lost.filter(remove);
      (lost.length || fresh.length) && this.emit("deviceChange", lostActive);
    }
  }

  class Call extends EventEmitter {
    static State = stateNames("Closed", "Connecting", "Open", "Pending", "Reconnecting");
    static CallDirection = { Incoming: "INCOMING" };

    #owner;
    #signaling;
    #reactions;
    #status = Call.State.Pending;
    #isMuted = false;
    #isAnswered = false;
    #ownStream;
    #stream;

    /** `owner` is what a call needs of its device: `inputStream`, `beforeAccept`, and `remove`. */
    constructor(owner, signaling, parameters) {
      super();
      this.parameters = parameters;
      this.customParameters = new Map(new URLSearchParams(parameters.Params));
      this.#owner = owner;
      this.#signaling = signaling;
      const mine = (react) => (payload) => payload.callsid === parameters.CallSid && react();
      this.#reactions = {
        answer: mine(() => this.#onAnswer()),
        cancel: mine(() => this.#close("cancel")),
        hangup: mine(() => this.#isAnswered && this.#close("disconnect", this)),
        transportClose: () => this.#onTransportClose(),
        connected: () => this.#isAnswered && this.#publish("invite"),
      };
      for (const [type, react] of Object.entries(this.#reactions)) signaling.on(type, react);
      this.on("error", () => {});
    }

    get direction() { return Call.CallDirection.Incoming; }

    status() { return this.#status; }

    async accept(options = {}) {
      if (this.#status !== Call.State.Pending) return;
      this.#status = Call.State.Connecting;
      this.#owner.beforeAccept(this);
      try {
        this[use](this.#owner.inputStream() ?? (await this.#openMicrophone(options.rtcConstraints?.audio ?? true)));
      } catch (error) {
        const isDenied = ["NotAllowedError", "PermissionDeniedError"].includes(error.name);
        this.disconnect();
        this.emit("error", new TwilioError(isDenied ? 31401 : 31402));
        return;
      }
      if (this.#status !== Call.State.Connecting) {
        stop(this.#ownStream); // the call has ended meanwhile
        return;
      }
      this.#isAnswered = true;
      this.#publish("answer");
    }

    reject() {
      if (this.#status !== Call.State.Pending) return;
      this.#publish("reject");
      this.#close("reject");
    }

    ignore() {
      if (this.#status === Call.State.Pending) this.#status = Call.State.Closed;
    }

    disconnect() {
      if (this.#status === Call.State.Pending || this.#status === Call.State.Closed) return;
      this.#publish("hangup");
      this.#close("disconnect", this);
    }

    isMuted() { return this.#isMuted; }

    mute(shouldMute = true) {
      if (this.#isMuted === shouldMute) return;
      this.#isMuted = shouldMute;
      this[use](this.#stream);
      this.emit("mute", shouldMute, this);
    }

    sendDigits(digits) {
      if (/[^0-9*#w]/.test(digits)) throw pageError("InvalidArgumentError", "Illegal character passed into sendDigits");
      this.#signaling.isOpen ? this.#publish("dtmf", { dtmf: digits }) : this.emit("error", new TwilioError(31005));
    }

    getLocalStream() { return this.#stream; }

    [use](stream) {
      this.#stream = stream;
      stream?.getAudioTracks().forEach((track) => (track.enabled = !this.#isMuted));
    }

    /** Opens the default microphone. Unlike the SDK, it goes on if there is none: a demo's machine may have none. */
    async #openMicrophone(audio) {
      try {
        this.#ownStream = await navigator.mediaDevices.getUserMedia({ audio });
      } catch (error) {
        if (error.name !== "NotFoundError") throw error;
      }
      return this.#ownStream;
    }

    #publish(type, more = {}) {
      this.#signaling.publish(type, { callsid: this.parameters.CallSid, ...more });
    }

    #onAnswer() {
      const before = this.#status;
      if (before !== Call.State.Connecting && before !== Call.State.Reconnecting) return;
      this.#status = Call.State.Open;
      before === Call.State.Connecting ? this.emit("accept", this) : this.emit("reconnected");
    }

    #onTransportClose() {
      this.#status === Call.State.Pending && this.#owner.remove(this);
      this.#status = Call.State.Reconnecting;
      this.emit("reconnecting", new TwilioError(53001));
    }

    #close(event, ...given) {
      for (const [type, react] of Object.entries(this.#reactions)) this.#signaling.off(type, react);
      stop(this.#ownStream);
      this.#stream = undefined;
      this.#status = Call.State.Closed;
      this.#owner.remove(this);
      this.emit(event, ...given);
    }
  }

  class Device extends EventEmitter {
    static State = stateNames("Destroyed", "Unregistered", "Registering", "Registered");
    static EventName = { ...Device.State, Error: "error", Incoming: "incoming", TokenWillExpire: "tokenWillExpire" };

    static get isSupported() { return typeof RTCPeerConnection === "function"; }

    #token;
    #options;
    #state = Device.State.Unregistered;
    #identity = null;
    #audio;
    #calls = [];
    #activeCall = null;
    #signaling = null;
    #whenConnected = null;
    #shouldReRegister = false;
    #expiry;
    #onPage = {
      beforeunload: (event) => this.#confirmClose(event),
      pagehide: () => this.destroy(),
    };

    constructor(token, options = {}) {
      super();
      this.updateToken(token);
      this.#options = { closeProtection: false, maxCallSignalingTimeoutMs: 0, tokenRefreshMs: 10_000, ...options };
      this.#audio = new AudioHelper((stream) => this.#useInput(stream));
      for (const [name, react] of Object.entries(this.#onPage)) window.addEventListener(name, react);
    }

    get audio() { return this.#audio; }
    get calls() { return this.#calls; }
    get identity() { return this.#identity; }
    get isBusy() { return this.#activeCall !== null; }
    get state() { return this.#state; }
    get token() { return this.#token; }

    async register() {
      this.#require(Device.State.Unregistered, "register");
      this.#shouldReRegister = false;
      this.#setState(Device.State.Registering);
      await (this.#whenConnected ?? this.#connect());
      this.#signaling.publish("register", { media: { audio: true } }, { isRetried: false });
      await settled(this, Device.State.Registered, Device.State.Unregistered);
    }

    async unregister() {
      this.#require(Device.State.Registered, "unregister");
      this.#shouldReRegister = false;
      this.#signaling.publish("register", { media: { audio: false } }, { isRetried: false });
      await new Promise((resolve) => this.#signaling.once("offline", resolve));
    }

    updateToken(token) {
      if (this.#state === Device.State.Destroyed) this.#require("", "updateToken");
      if (typeof token !== "string") throw pageError("InvalidArgumentError", "The token must be a string");
      this.#token = token;
      this.#signaling?.setToken(token);
    }

    disconnectAll() {
      this.#calls.splice(0).forEach((call) => call.disconnect());
      this.#activeCall?.disconnect();
    }

    destroy() {
      this.#calls.slice().forEach((call) => call.reject());
      this.disconnectAll();
      this.#disconnect();
      this.#audio?.[destroy]();
      this.#audio = null;
      clearTimeout(this.#expiry);
      for (const [name, react] of Object.entries(this.#onPage)) window.removeEventListener(name, react);
      this.#setState(Device.State.Destroyed);
      this.removeAllListeners();
    }

    #require(state, act) {
      const problem = `Attempt to "${act}" when device is in state "${this.#state}".`;
      if (this.#state !== state) throw pageError("InvalidStateError", problem);
    }

    #setState(state) {
      if (state === this.#state) return;
      this.#state = state;
      this.emit(state);
    }

    #connect() {
      const signaling = new Signaling(this.#token, this.#options.maxCallSignalingTimeoutMs);
      signaling.on("offline", () => this.#signaling === signaling && this.#onOffline());
      signaling.on("close", () => (this.#signaling = this.#whenConnected = null));
      signaling.on("connected", ({ token }) => this.#onConnected(token));
      signaling.on("error", ({ error }) => this.#onError(error));
      signaling.on("invite", ({ parameters }) => this.#onInvite(parameters));
      signaling.on("ready", () => this.#setState(Device.State.Registered));
      this.#signaling = signaling;
      this.#whenConnected = settled(signaling, "connected", "close");
      return this.#whenConnected;
    }

    #disconnect() {
      const signaling = this.#signaling;
      this.#signaling = this.#whenConnected = null;
      signaling?.destroy();
      this.#onOffline();
    }

    #onConnected(token) {
      this.#identity = token.identity;
      clearTimeout(this.#expiry);
      const leftMs = Math.max(0, token.ttl * 1000 - this.#options.tokenRefreshMs);
      this.#expiry = setTimeout(() => this.emit("tokenWillExpire", this), leftMs);
      this.#shouldReRegister && this.register().catch(() => {});
    }

    #onError(error) {
      this.emit("error", new TwilioError(REPORTED_AS[error.code] ?? error.code, error));
    }

    /** Loss, `unregister`, or expiry. As in the SDK, the next connection or token registers again after each. */
    #onOffline() {
      this.#shouldReRegister = this.#state !== Device.State.Unregistered;
      this.#setState(Device.State.Unregistered);
    }

    async #onInvite(parameters) {
      if (this.isBusy && !this.#options.allowIncomingWhileBusy) return;
      const owner = {
        inputStream: () => this.#audio?.inputStream,
        beforeAccept: (call) => this.#activeCall === call || this.#activeCall?.disconnect(),
        remove: (call) => this.#remove(call),
      };
      const call = new Call(owner, this.#signaling, parameters);
      call.once("accept", () => {
        this.#remove(call);
        this.#activeCall = call;
      });
      this.#calls.push(call);
      await null; // the SDK starts its ring tone first
      this.emit("incoming", call);
    }

    #remove(call) {
      if (this.#activeCall === call) this.#activeCall = null;
      const index = this.#calls.indexOf(call);
      if (index >= 0) this.#calls.splice(index, 1);
    }

    #useInput(stream) {
      if (!this.#activeCall) return;
      if (!stream) throw pageError("InvalidStateError", "Cannot unset input device while a call is in progress.");
      this.#activeCall[use](stream);
    }

    #confirmClose(event) {
      const { closeProtection } = this.#options;
      if (!this.#activeCall || !closeProtection) return;
      const question = "A call is currently in-progress. Leaving or reloading this page will end the call.";
      event.returnValue = typeof closeProtection === "string" ? closeProtection : question;
    }
  }

  window.Twilio = { Device, Call };
})();
