// What a page does by itself once it is loaded: back in the call, or ready again. And a line that is open elsewhere.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { keep, kept } from "./shared/kept.js";
import { ownLeg } from "./session.js";

/** The desk says that a line is open elsewhere after this: calls begin and end meanwhile (ms). */
const OPEN_MS = 2_000;
/** How long after the load a lost line is taken back without a click (ms). */
const RETURN_MS = 60_000;
/** How long a desk that takes over stays ready, although another one is still registered (ms). */
const TAKE_OVER_MS = 10_000;

export class Comeback {
  /** The session whose line is open without this page's phone; null for none. */
  openLine = signal(null);
  /** Whether the agent was ready before the load, and only a click lets this page ring. */
  needsClick = signal(false);

  #desk;
  #ring;
  #endLine;
  #loadedMs = Date.now();
  #wasReady = false;
  #hasAsked = false;
  #isByItself = false;
  #takesOverMs = 0;
  #timer = 0;

  /** `endLine` hangs up the agent's line in a session, so that the agent is rung again. */
  constructor(desk, ring, endLine) {
    this.#desk = desk;
    this.#ring = ring;
    this.#endLine = endLine;
  }

  get takesOver() {
    return Date.now() - this.#takesOverMs < TAKE_OVER_MS;
  }

  get #key() {
    return `conferral-desk ${this.#desk.identity.value}`;
  }

  remember(isReady) {
    this.#wasReady = this.needsClick.value = false;
    keep(this.#key, isReady ? "ready" : "", "sessionStorage");
  }

  begin() {
    this.begin = () => {};
    this.#wasReady = kept(this.#key, "sessionStorage") === "ready";
    void this.consider();
  }

  async consider() {
    this.#watch();
    const desk = this.#desk;
    if (!this.#wasReady || desk.state.value !== "away") {
      return;
    }
    const isInCall = Boolean(this.#ownCall) && Date.now() - this.#loadedMs < RETURN_MS;
    if (!isInCall && this.#hasAsked) {
      return;
    }
    this.#hasAsked = true;
    if (isInCall || (await this.#mayRing())) {
      this.#isByItself = true;
      await desk.goReady(true);
    } else if (desk.state.value === "away") {
      this.needsClick.value = true;
    }
  }

  /** A call is over: a page that can't ring the next one takes none. */
  async callOver() {
    if (this.#isByItself && !(await this.#ring.isAllowed()) && !this.#desk.phone.call.value) {
      await this.#desk.goAway();
      this.needsClick.value = true;
    }
    this.#isByItself = false;
  }

  async takeOver(session) {
    this.#takesOverMs = Date.now();
    if (this.#desk.state.value !== "ready") {
      await this.#desk.goReady();
    }
    if (this.#desk.state.value === "ready") {
      await this.#endLine(session).catch(({ message }) => this.#desk.notify("bad", `Take over here: ${message}.`, "command"));
    }
  }

  get #ownCall() {
    const { identity, phone, sessions } = this.#desk;
    const has = (session) => ["connected", "ringing"].includes(ownLeg(session, identity.value)?.[1].status);
    return phone.call.value ? undefined : [...sessions.value.values()].find(has);
  }

  get #open() {
    const session = this.#ownCall;
    const [name, leg] = (session && ownLeg(session, this.#desk.identity.value)) ?? [];
    return name === "agent" && leg.status === "connected" && !leg.is_lost ? session : null;
  }

  #watch() {
    const open = this.#open;
    if (!open || this.openLine.value) {
      clearTimeout(this.#timer);
      this.#timer = 0;
      this.openLine.value = open;
    } else {
      this.#timer ||= setTimeout(() => ((this.#timer = 0), (this.openLine.value = this.#open)), OPEN_MS);
    }
  }

  async #mayRing() {
    try {
      const { state } = await navigator.permissions.query({ name: "microphone" });
      return state === "granted" && (await this.#ring.isAllowed());
    } catch {
      return false; // the browser doesn't say whether it would ask
    }
  }
}
