// The agent's presence: whether calls can reach this desk, which follows the phone, and which desk takes them.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { GRACE_MS } from "./phone.js";

/** Presence is renewed at the first occasion after this (ms). */
const RENEW_EVERY_MS = 9_000;
/** When it follows a phone that is not registered any more (ms); timers may be early by a millisecond. */
const LOST_MS = GRACE_MS + 50;

export class Presence {
  /** `away`, `starting`, `ready`, or `waiting` for another desk. */
  state = signal("away");
  agent = signal(null);
  /** Whether the agent has clicked *Go ready*, and Conferral does not know it yet. */
  hasClicked = false;

  #desk;
  #send;
  #id;
  #renewedMs = 0;

  /** @param {string} id The desk's own. */
  constructor(desk, send, id) {
    this.#desk = desk;
    this.#send = send;
    this.#id = id;
  }

  /** What is sent; empty while nothing can be. A desk that waits for another one would register at once. */
  get #status() {
    const { isOpen, phone } = this.#desk;
    const isReady = { waiting: true, ready: phone.isReachable, starting: phone.isRegistered.value }[this.state.value];
    return isOpen.value ? (isReady ? "ready" : "away") : "";
  }

  async renew() {
    this.#renewedMs = Date.now();
    const status = this.#status;
    if (status) {
      const { rings } = this.#desk;
      const { lost } = rings;
      const click = this.hasClicked && status === "ready";
      const agent = await this.#send(click ? { status, click } : { status });
      this.hasClicked &&= !click;
      // Of all desks, the one that is registered after the loss takes the call back.
      if (status === "ready" && this.#isMine(agent)) {
        lost.forEach((id) => rings.expect(id));
      }
      this.note(agent);
    }
  }

  /** Another window takes its place at once. Who is in a call is rung again there. */
  leave() {
    const { phone } = this.#desk;
    if (this.state.value !== "away" && !phone.call.value) {
      void this.#send({ status: "away", left: true }).catch(() => {});
    }
  }

  renewIfDue() {
    if (this.#status && Date.now() - this.#renewedMs >= RENEW_EVERY_MS) {
      this.renew().then(() => this.#desk.troubled(null), (error) => this.#desk.troubled(error));
    }
  }

  renewNow() {
    this.#renewedMs = 0;
    this.renewIfDue();
  }

  registered(isSo) {
    if (this.state.value === "ready") {
      setTimeout(() => this.renewNow(), isSo ? 0 : LOST_MS);
    }
  }

  /** The agent's calls have changed: one may be lost, then Conferral says which desk takes it back. */
  callsChanged() {
    if (this.state.value === "waiting" || (this.state.value === "ready" && this.#desk.rings.lost.length)) {
      this.renewNow();
    }
  }

  #isMine({ registered }) {
    return (registered ?? this.#id) === this.#id;
  }

  note(agent) {
    const { phone, rings, comeback } = this.#desk;
    this.agent.value = agent;
    const isMine = this.#isMine(agent);
    if (!isMine) {
      rings.lost.forEach((id) => rings.forget(id));
    }
    const isReady = ["ready", "starting"].includes(this.state.value);
    if (agent.reason && isReady && !this.hasClicked && !phone.call.value) {
      this.#desk.notify("warn", "You did not answer a caller who waits, so you are away.", "phone");
      void this.#desk.goAway();
      return;
    }
    // One that Twilio can't reach now goes on trying: the other desk takes the calls meanwhile.
    if (isReady && !isMine && !phone.call.value && phone.isReachable && !comeback.takesOver) {
      this.state.value = "waiting";
      phone.unregister();
    } else if (this.state.value === "waiting" && isMine) {
      this.state.value = "ready";
      void this.#desk.register();
      setTimeout(() => this.renewNow(), LOST_MS);
    }
  }
}
