// The agent's presence: whether calls can reach this desk. It follows the phone, not only the agent's wish.

/** Presence is renewed at the first occasion after this; a hidden page's timers may be late, then the stream's comments do it (ms). */
const RENEW_EVERY_MS = 9_000;

export class Presence {
  #sentMs = 0;
  #status;
  #send;
  #onTrouble;

  /**
   * @param {() => "ready" | "away" | ""} status Whether calls can reach this desk; empty while none can be sent.
   * @param {(status: "ready" | "away") => Promise<void>} send
   * @param {(error: Error | null) => void} onTrouble
   */
  constructor(status, send, onTrouble) {
    this.#status = status;
    this.#send = send;
    this.#onTrouble = onTrouble;
  }

  async renew() {
    this.#sentMs = Date.now();
    const status = this.#status();
    if (status) {
      await this.#send(status);
    }
  }

  renewNow() {
    this.#sentMs = 0;
    this.renewIfDue();
  }

  renewIfDue() {
    if (this.#status() && Date.now() - this.#sentMs >= RENEW_EVERY_MS) {
      this.renew().then(() => this.#onTrouble(null), this.#onTrouble);
    }
  }
}
