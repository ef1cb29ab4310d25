// A phone for pages that are tested without a Twilio: the part of `window.Twilio` that the desk uses, steered by the test.

(() => {
  class Emitter {
    #listeners = new Map();

    on(name, listener) {
      this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
      return this;
    }

    emit(name, ...given) {
      (this.#listeners.get(name) ?? []).forEach((listener) => listener(...given));
    }
  }

  /** What the desk has done, for the test: it polls the attribute, since the page's policy forbids to evaluate text. */
  const done = [];
  done.push = (what) => {
    Array.prototype.push.call(done, what);
    document.documentElement.dataset.phone = `,${done.join()},`;
  };

  class Call extends Emitter {
    #status = "pending";

    constructor(parameters, custom) {
      super();
      this.parameters = parameters;
      this.customParameters = new Map(Object.entries(custom));
    }

    status() {
      return this.#status;
    }

    #act(what, status) {
      this.#status = status;
      done.push(what);
    }

    accept() {
      this.#act("accept", "open");
      this.emit("accept", this);
    }

    reject() {
      this.#act("reject", "closed");
      this.emit("reject");
    }

    ignore() {
      this.#act("ignore", "closed");
      sessionStorage.setItem("ignored", "yes");
    }

    disconnect() {
      this.#act("disconnect", "closed");
      this.emit("disconnect", this);
    }

    mute(isMuted) {
      done.push(isMuted ? "mute" : "unmute");
      this.emit("mute", isMuted, this);
    }

    sendDigits(digits) {
      done.push(`digits ${digits}`);
    }
  }

  /** Headsets, if the test plugs them in. */
  class Audio extends Emitter {
    availableInputDevices = new Map();
    availableOutputDevices = new Map();
    isOutputSelectionSupported = false;
    inputDevice = null;

    incoming() {}

    async setInputDevice(deviceId) {
      this.inputDevice = { deviceId };
      done.push(`microphone ${deviceId}`);
    }

    plug(...names) {
      this.availableInputDevices = new Map(names.map((name) => [name, { label: name }]));
      this.emit("deviceChange");
    }
  }

  class Device extends Emitter {
    state = "unregistered";
    audio = new Audio();

    constructor(token, options) {
      super();
      window.phone.device = this;
      window.phone.options = options;
    }

    #become(state) {
      this.state = state;
      done.push(state);
      this.emit(state);
    }

    async register() {
      this.#become("registered");
    }

    async unregister() {
      this.#become("unregistered");
    }

    updateToken() {}

    destroy() {
      this.#become("destroyed");
    }
  }

  window.Twilio = { Device, Call };
  window.phone = {
    done,
    ring(parameters, custom = {}) {
      this.call = new Call(parameters, custom);
      this.device.emit("incoming", this.call);
    },
  };
})();
