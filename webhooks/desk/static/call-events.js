// What the page around the desk hears of each call: `desk-incoming`, `desk-connected` once it is answered, and
// `desk-ended`, in this order, as the phone's own call goes. What is known of its session goes with each.

/** How long a call waits for its session before its events are sent without it (ms). */
const UNKNOWN_MS = 2_000;

export class CallEvents {
  #calls = new Map();
  #detail;
  #emit;

  /** `detail(call)` returns what is known; `emit(name, detail)` sends an event. */
  constructor(detail, emit) {
    this.#detail = detail;
    this.#emit = emit;
  }

  rang(call) {
    const entry = { pending: ["desk-incoming"], detail: {}, isDue: false };
    this.#calls.set(call, entry);
    setTimeout(() => ((entry.isDue = true), this.update()), UNKNOWN_MS);
    this.update();
  }

  connected(call) {
    this.#calls.get(call)?.pending.push("desk-connected");
    this.update();
  }

  ended(call) {
    const entry = this.#calls.get(call);
    if (entry) {
      entry.pending.push("desk-ended");
      entry.isDue = true;
      this.update();
      this.#calls.delete(call);
    }
  }

  /** Send what waits, if the session is known or can't be waited for any longer. */
  update() {
    for (const [call, entry] of this.#calls) {
      const detail = this.#detail(call);
      // The session may be over before its call is.
      entry.detail = detail.session || !entry.detail.session ? detail : entry.detail;
      if (entry.detail.session || entry.isDue) {
        entry.pending.splice(0).forEach((name) => this.#emit(name, entry.detail));
      }
    }
  }
}
