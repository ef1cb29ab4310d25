// The agent's presence: whether calls can reach this desk. It follows the phone, not only the agent's wish.

import { ApiError } from "./api.js";

/** Presence is renewed at the first occasion after this; a hidden page's timers may be late, then the stream's comments do it (ms). */
const RENEW_EVERY_MS = 9_000;

export class Presence {
  #sentMs = 0;
  #status;
  #send;
  #on;

  /**
   * @param {() => "ready" | "away" | ""} status Whether calls can reach this desk; empty while none can be sent.
   * @param {(status: "ready" | "away") => Promise<object>} send
   * @param {{ onAnswer: (agent: object) => void, onTrouble: (error: ApiError | null) => void }} on
   */
  constructor(status, send, on) {
    this.#status = status;
    this.#send = send;
    this.#on = on;
  }

  async renew() {
    this.#sentMs = Date.now();
    const status = this.#status();
    if (status) {
      this.#on.onAnswer(await this.#send(status));
    }
  }

  renewIn(ms) {
    setTimeout(() => this.renewNow(), ms);
  }

  renewNow() {
    this.#sentMs = 0;
    this.renewIfDue();
  }

  renewIfDue() {
    if (this.#status() && Date.now() - this.#sentMs >= RENEW_EVERY_MS) {
      this.renew().then(
        () => this.#on.onTrouble(null),
        (error) => {
          if (error instanceof ApiError) {
            this.#on.onTrouble(error);
          }
        },
      );
    }
  }
}
