// Missed calls: those that stopped ringing here before anyone took them, as their sessions say. And those that rang
// while the agent was busy.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { nowMs } from "./shared/time.js";
import { callerOf, sidOf } from "./phone.js";
import { nameOf } from "./session.js";

const LISTED_MAX = 5;
/** How long it may take until a call's session says who took it (ms). */
const LATE_MS = 3_000;
const KEPT_MS = 60_000;
/** Statuses of a transfer whose call someone has taken. */
const TAKEN = new Set(["consulting", "merged", "completed"]);

export class Missed {
  calls = signal([]);
  /** While the agent was busy. */
  busy = signal([]);

  /** What is known of each leg of this agent that rings, or rang a moment ago, by its SID. */
  #legs = new Map();
  /** When each call stopped ringing here whose end is not known yet, by SID. */
  #stopped = new Map();

  /** @param {object} session A new version. @param {string} address The agent's. */
  note(session, address) {
    for (const [name, { address: own, call_sid: sid }] of Object.entries(session.parties ?? {})) {
      if (own === address && sid && !this.#legs.has(sid)) {
        this.#legs.set(sid, { id: session.id, name });
        setTimeout(() => this.#legs.delete(sid), KEPT_MS);
      }
    }
    for (const [sid, leg] of this.#legs) {
      if (leg.id === session.id) {
        // After a bridge, the next agent has the party's name.
        const [name, party] = Object.entries(session.parties).find(([, one]) => one.call_sid === sid) ?? [leg.name, { status: "left" }];
        Object.assign(leg, { session, name, party, isTaken: leg.isTaken || isTaken(session, name, party) });
        this.#decide(sid);
      }
    }
  }

  /** A call that rang here was cancelled. */
  stopped(call) {
    this.#stopped.set(sidOf(call), { call, atMs: nowMs() });
    this.#decide(sidOf(call));
    setTimeout(() => this.#decide(sidOf(call), true), LATE_MS);
  }

  /** A call that rang here was rejected, since the agent was busy. */
  wasBusy(id, { from, number, ref }) {
    this.busy.value = [{ id, from, number, ref, atMs: nowMs() }, ...this.busy.value].slice(0, LISTED_MAX);
  }

  dismiss(id) {
    for (const list of [this.calls, this.busy]) {
      list.value = list.value.filter((one) => one.id !== id);
    }
  }

  #decide(id, isLate = false) {
    const found = this.#stopped.get(id);
    const { session, party, isTaken: wasTaken = false } = this.#legs.get(id) ?? {};
    const isOver = party?.status === "left" || session?.state === "ended";
    if (!found || !(isOver || wasTaken || isLate)) {
      return;
    }
    this.#stopped.delete(id);
    if (!wasTaken) {
      const from = nameOf(session?.parties.customer?.address ?? callerOf(found.call));
      const missed = { id, from, number: session?.number ?? "", ref: session?.ref ?? "", atMs: found.atMs };
      this.calls.value = [missed, ...this.calls.value].slice(0, LISTED_MAX);
    }
  }
}

/** Whether someone took the call of a leg: the agent, at this or another device, or a colleague who was rung, too. */
function isTaken(session, name, party) {
  const isTarget = name === "target" || name.startsWith("target-");
  return party.status === "connected" || party.left_reason === "taken" || (isTarget && TAKEN.has(session.transfer?.status));
}
