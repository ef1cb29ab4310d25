// Commands that the agent has sent. Each has a deadline, after which it does nothing: it has failed only if the server
// says so, or if no worker has decided it some time after that.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { earliestMs } from "./shared/server-time.js";
import { reasonText } from "./session.js";

/** How long the desk waits for a decision; how much earlier the deadline is (ms). */
const WAIT_MS = 10_000;
const MARGIN_MS = 2_000;
/** Without an event for so long, the server is asked what became of a command; then the agent hears of it (ms). */
const ASK_AFTER_MS = 1_000;
const UNKNOWN_AFTER_MS = 2_500;
const ASK_EVERY_MAX_MS = 5_000;
/** An accepted command that no event tells the end of stops being shown as under way (ms). */
const PENDING_MS = 30_000;
/** Types of errors that come as 503 although nothing was accepted. */
const REFUSALS = new Set(["full", "not-set-up"]);

export function stamp() {
  const bytes = crypto.getRandomValues(new Uint8Array(10)); // not `randomUUID`, which needs a secure context
  const id = `d-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  return { id, deadline: new Date(earliestMs() + WAIT_MS - MARGIN_MS).toISOString() };
}

export class Commands {
  pending = signal(new Set());

  #known = new Map();
  #ask;
  #on;
  #isStopped = false;

  /** `ask(id)` asks the server for a result. */
  constructor(ask, on) {
    this.#ask = ask;
    this.#on = on;
  }

  stop() {
    this.#isStopped = true;
  }

  /** Send a command, given its stamp; the promise says whether it was accepted, once that is known. */
  request(action, send) {
    const stamped = stamp();
    this.#setPending(action.id, true);
    return new Promise((settle) => {
      const known = { ...stamped, action, settle, status: "", isUnknown: false };
      this.#known.set(known.id, known);
      void this.#watch(known);
      send(stamped).catch((error) => this.#refused(known, error));
    });
  }

  #refused(known, error) {
    const isCertain = (error.status >= 400 && error.status < 500) || REFUSALS.has(error.type);
    if (known.status) {
      return; // an event was faster
    }
    if (isCertain) {
      this.#end(known, "rejected");
      this.#on.onFailed(known.action, error);
    } else {
      this.#noteUnknown(known);
    }
  }

  async #watch(known) {
    const overMs = Date.parse(known.deadline) + MARGIN_MS;
    const unknownMs = performance.now() + UNKNOWN_AFTER_MS;
    let pauseMs = ASK_AFTER_MS;
    for (;;) {
      await new Promise((done) => setTimeout(done, pauseMs));
      if (known.status || this.#isStopped) {
        return;
      }
      const isOver = earliestMs() >= overMs;
      const found = await this.#asked(known.id);
      if (known.status) {
        return;
      }
      if (found?.status) {
        known.action.onSession?.(found.session);
        return this.update({ ...found, command: known.id });
      }
      if (found && isOver) {
        return this.update({ command: known.id, status: "rejected", reason: "expired", code: null });
      }
      if (performance.now() >= unknownMs) {
        this.#noteUnknown(known);
      }
      pauseMs = isOver ? Math.min(2 * pauseMs, ASK_EVERY_MAX_MS) : ASK_AFTER_MS;
    }
  }

  #asked(id) {
    return this.#ask(id).catch((error) => (error.status === 404 ? { status: "" } : null));
  }

  #noteUnknown(known) {
    if (!known.isUnknown) {
      known.isUnknown = true;
      this.#on.onUnknown(known.action, known.id);
    }
  }

  update({ command, status, reason, code }) {
    const known = this.#known.get(command);
    if (!known) {
      return; // another desk's
    }
    const isRefused = status === "rejected" || status === "failed";
    known.settle(!isRefused);
    if (status === "accepted") {
      known.status = status;
      this.#on.onKnown(known.id);
      setTimeout(() => this.#end(known, status), PENDING_MS);
      return;
    }
    this.#end(known, status);
    // The agent cancelled it, or sees who did.
    if (isRefused && reason !== "cancelled") {
      this.#on.onFailed(known.action, reasonText(reason) + (code ? ` (Twilio's error ${code})` : ""));
    }
  }

  #end(known, status) {
    known.status = status;
    known.settle(status !== "rejected");
    this.#on.onKnown(known.id);
    if (this.#known.delete(known.id)) {
      this.#setPending(known.action.id, false);
    }
  }

  #setPending(id, isPending) {
    const found = new Set(this.pending.value);
    found[isPending ? "add" : "delete"](id);
    this.pending.value = found;
  }
}
