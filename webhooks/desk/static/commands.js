// Commands that the agent has sent, until their end is known.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { reasonText } from "./session.js";

/** A command that no event tells the end of stops being shown as under way (ms). */
const PENDING_MS = 30_000;

export class Commands {
  /** Ids of actions under way. */
  pending = signal(new Set());

  #known = new Map();
  /** Events that came before the answer that names their command. */
  #early = new Map();
  #onFailed;

  /** @param {(action: object, why: string | Error) => void} onFailed */
  constructor(onFailed) {
    this.#onFailed = onFailed;
  }

  /**
   * Send a command; settle once it is accepted or refused.
   *
   * @param {{ id: string, label: string }} action
   * @param {() => Promise<object>} send
   * @returns {Promise<boolean>} Whether it was accepted.
   */
  async request(action, send) {
    this.#setPending(action.id, true);
    try {
      const { command } = await send();
      return await new Promise((settle) => {
        this.#known.set(command, { action, settle });
        setTimeout(() => this.#forget(command), PENDING_MS);
        this.#early.get(command)?.forEach((data) => this.update(data));
      });
    } catch (error) {
      this.#setPending(action.id, false);
      this.#onFailed(action, error);
      return false;
    }
  }

  /** @param {{ command: string, status: string, reason: string | null, code: number | null }} data An event. */
  update(data) {
    const known = this.#known.get(data.command);
    if (!known) {
      this.#early.set(data.command, [...(this.#early.get(data.command) ?? []), data]);
      setTimeout(() => this.#early.delete(data.command), PENDING_MS);
      return;
    }
    const isRefused = data.status === "rejected" || data.status === "failed";
    known.settle(!isRefused);
    // The agent cancelled it, or sees who did.
    if (isRefused && data.reason !== "cancelled") {
      const code = data.code ? ` (Twilio's error ${data.code})` : "";
      this.#onFailed(known.action, reasonText(data.reason) + code);
    }
    if (data.status !== "accepted") {
      this.#forget(data.command);
    }
  }

  #forget(command) {
    const known = this.#known.get(command);
    if (known) {
      known.settle(false);
      this.#known.delete(command);
      this.#setPending(known.action.id, false);
    }
  }

  #setPending(id, isPending) {
    const found = new Set(this.pending.value);
    found[isPending ? "add" : "delete"](id);
    this.pending.value = found;
  }
}
