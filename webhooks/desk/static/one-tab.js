// One tab of a browser is the agent's phone: Twilio rings every registration of an identity. Web Locks say which tab is.

export class OneTab {
  #name;
  #release = null;
  #releaseCall = null;

  /** @param {string} name The same for all tabs of one agent. */
  constructor(name) {
    this.#name = `conferral-desk ${name}`;
  }

  /**
   * Become the agent's phone; the tab that was gives it up, unless it has a call.
   *
   * @param {() => void} onLost Called when a newer tab takes over.
   * @returns {Promise<boolean>} False if another tab has a call.
   */
  async take(onLost) {
    if (this.#release) {
      return true;
    }
    const { held } = await navigator.locks.query();
    if (!this.#releaseCall && held.some(({ name }) => name === this.#callName)) {
      return false;
    }
    await new Promise((taken) => {
      const hold = () =>
        new Promise((done) => {
          this.#release = done;
          taken();
        });
      // A stolen lock rejects the request of the tab that had it.
      navigator.locks.request(this.#name, { steal: true }, hold).catch(() => {
        this.#release = null;
        onLost();
      });
    });
    return true;
  }

  get #callName() {
    return `${this.#name} call`;
  }

  /** @param {boolean} hasCall While it has a call, no other tab takes over. */
  keep(hasCall) {
    if (!hasCall) {
      this.#releaseCall?.();
      this.#releaseCall = null;
    } else if (!this.#releaseCall) {
      const held = new Promise((done) => (this.#releaseCall = done));
      void navigator.locks.request(this.#callName, () => held);
    }
  }

  /** Take no more calls; one that goes on still keeps other tabs from them. */
  leave() {
    this.#release?.();
    this.#release = null;
  }
}
