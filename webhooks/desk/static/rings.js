// Which rings the agent sees, which the desk takes by itself, and which it rejects because the agent is busy.

import { computed, effect, signal, untracked } from "./shared/vendor/preact-signals-core.mjs";
import { sidOf } from "./phone.js";
import { ownLeg, present } from "./session.js";

/** A ring waits so long for what decides about it; then it is shown (ms). */
const UNKNOWN_MS = 1_000;
/** How long Conferral may take to hear that the agent is busy (ms). */
const WORD_MS = 300;
/** Phases in which an agent is rung who has the call, or asked for it. */
const OWN_PHASES = new Set(["recall", "retrieve"]);

export class Rings {
  /** The first call that the agent sees ring, with its session; null for none. */
  incoming = computed(() => this.at(this.#phone.waiting.value.find((call) => this.#shown.value.has(call))));

  #phone;
  #sessions;
  #identity;
  #on;
  #shown = signal(new Set());
  /** Calls that wait for their session, and whether for too long; those that are rejected as busy. */
  #waited = new WeakMap();
  #busy = new WeakSet();
  /** The session that each call was seen in last. */
  #known = new WeakMap();
  /** Sessions whose call needs no answer by the agent, and those that the agent has left on purpose. */
  #expected = new Set();
  #left = new Set();

  /** `sayBusy(sid)` of `on` is a promise. */
  constructor(phone, sessions, identity, on) {
    this.#phone = phone;
    this.#sessions = sessions;
    this.#identity = identity;
    this.#on = on;
  }

  start() {
    const { waiting, call, isReconnecting } = this.#phone;
    return effect(() => {
      void [waiting.value, call.value, isReconnecting.value, this.#sessions.value];
      untracked(() => this.#decide());
    });
  }

  /** The agent asked for this session's call, or had it at this desk, so no one has to answer it. */
  expect(id) {
    this.#expected.add(id);
    this.#decide();
  }

  forget(id) {
    this.#expected.delete(id);
    this.#left.delete(id);
  }

  leave(id) {
    this.#left.add(id);
  }

  /** Ids of sessions whose own leg was lost, not left on purpose. */
  get lost() {
    const sid = sidOf(this.#phone.call.value);
    const isLost = ([, leg] = ["", {}]) => leg.is_lost && leg.call_sid !== sid;
    return this.#all.filter((one) => isLost(this.#own(one)) && !this.#left.has(one.id)).map(({ id }) => id);
  }

  /** A call, its session, and the agent's own leg, as far as they are known; the last ones if it is over. */
  at(call) {
    if (!call) {
      return null;
    }
    const [live, last, only] = [this.#sessionOf(call), this.#known.get(call), this.#onlySession()];
    const isOver = Boolean(!live && last) && !this.#sessions.value.has(last.id);
    const session = live ?? (isOver ? last : last && last.id !== only?.id ? null : (only ?? null));
    return { call, session, own: session ? this.#own(session, call) : undefined, isOver };
  }

  get #all() {
    return [...this.#sessions.value.values()];
  }

  #own(session, call) {
    return ownLeg(session, this.#identity.value, sidOf(call));
  }

  #sessionOf(call) {
    const sid = sidOf(call);
    return this.#all.find((one) => present(one).some(([, party]) => sid && party.call_sid === sid));
  }

  #onlySession() {
    const found = this.#all.filter((one) => !this.#own(one)?.[1].call_sid);
    return found.length === 1 ? found[0] : undefined;
  }

  #decide() {
    const calls = this.#phone.waiting.value;
    for (const call of [...calls, this.#phone.call.value].filter(Boolean)) {
      this.#known.set(call, this.#sessionOf(call) ?? this.#known.get(call));
    }
    if (this.#takeOwn()) {
      return; // which leads here again
    }
    for (const call of calls.filter((one) => !this.#busy.has(one))) {
      const verdict = this.#verdict(call);
      if (verdict === "show") {
        this.#show(call);
      } else if (verdict === "reject") {
        void this.#reject(call);
      }
    }
  }

  #takeOwn() {
    const call = this.#phone.waiting.value.find((one) => this.#isExpected(one));
    if (!call || (this.#phone.call.value && !this.#isOver(this.#phone.call.value, call))) {
      return false;
    }
    this.#expected.delete(this.#sessionOf(call).id);
    this.#show(call);
    this.#phone.answer(call);
    return true;
  }

  /** By its SID: a stranger's call may ring while that of the agent's own is not known. */
  #isExpected(call) {
    return this.#expected.has(this.#sessionOf(call)?.id);
  }

  /** Whether Twilio has ended a call that the phone still has: its session rings the agent again. */
  #isOver(call, ring) {
    const { session, own } = this.at(ring);
    return own[1].is_lost && this.#known.get(call)?.id === session.id && !this.#sessionOf(call);
  }

  #verdict(call) {
    const calls = this.#phone.waiting.value;
    const session = this.#sessionOf(call);
    if (session && this.#isOwn(call, session)) {
      // Conferral is about to say whether this desk takes a lost call by itself.
      const isUndecided = this.lost.includes(session.id) && !this.#expected.has(session.id);
      return isUndecided && this.#waits(call) ? "wait" : "show";
    }
    if (calls.some((one) => one !== call && this.#isExpected(one))) {
      return "reject"; // the agent's own call is back
    }
    const isFree = !this.#isInACall(session) && !calls.slice(0, calls.indexOf(call)).some((one) => this.#shown.value.has(one));
    const isRestoring = this.#phone.isReconnecting.value || this.lost.length > 0;
    if (isFree || isRestoring || this.#waited.get(call)) {
      return "show";
    }
    if (session) {
      return "reject";
    }
    return this.#waits(call) ? "wait" : "show";
  }

  #isOwn(call, session) {
    const [name, { is_lost: isLost, address: own }] = this.#own(session, call);
    const isOther = ([other, { address }]) => other !== name && address === own;
    return isLost || OWN_PHASES.has(session.phase) || this.#expected.has(session.id) || present(session).some(isOther);
  }

  /** Whether the agent is in another call than this session's, and its customer has not left. */
  #isInACall(session) {
    const call = this.#phone.call.value;
    if (!call || (session && this.#known.get(call)?.id === session.id)) {
      return false;
    }
    const own = this.#sessionOf(call);
    // A session that was known, and isn't any more, is over, or the agent's leg of it is.
    return own ? own.parties.customer?.status !== "left" : !this.#known.get(call);
  }

  #show(call) {
    if (!this.#shown.value.has(call)) {
      this.#shown.value = new Set([...this.#shown.value, call].filter((one) => this.#phone.waiting.value.includes(one)));
      this.#on.onShown(call);
    }
  }

  #waits(call) {
    if (!this.#waited.has(call)) {
      this.#waited.set(call, false);
      setTimeout(() => (this.#waited.set(call, true), this.#decide()), UNKNOWN_MS);
    }
    return !this.#waited.get(call);
  }

  async #reject(call) {
    this.#busy.add(call);
    const said = this.#on.sayBusy(sidOf(call)).catch(() => {});
    await Promise.race([said, new Promise((done) => setTimeout(done, WORD_MS))]);
    if (!this.#phone.waiting.value.includes(call) || this.#verdict(call) === "reject") {
      this.#phone.decline(call); // without effect if the caller has hung up
    } else {
      this.#busy.delete(call); // meanwhile, the agent's customer has left
      this.#decide();
    }
  }
}
