// What the page around the desk hears of each call, in order.

/** How long a call waits for its session before its events are sent without it (ms). */
const UNKNOWN_MS = 2_000;

export class CallEvents {
  #calls = new Map();
  #detail;
  #emit;

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
