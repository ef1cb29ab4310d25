// What has just happened to a call, as a sentence about the past.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { ownLeg, present, sentBack, whatHappened } from "./session.js";

export const HUNG_UP = "You hung up.";
const addresses = (session) => present(session).map(([, { address }]) => address);

export class News {
  said = signal("");
  /** The session that it is about. */
  of = "";
  /** By session, what the agent is about to do with it, as news. */
  planned = new Map();
  #desk;

  constructor(desk) {
    this.#desk = desk;
  }

  happened(before, session, isOver) {
    const { id } = session;
    const identity = this.#desk.identity.value;
    const planned = isOver ? this.planned.get(id) : "";
    // If the call ends before the agent leaves, what was planned is not done.
    const isDone = session.state !== "ended" || planned === HUNG_UP;
    const said = before && ((isDone && planned) || whatHappened(before, session, identity));
    if (isOver) {
      this.planned.delete(id);
    }
    if (said) {
      this.tell(id, said);
    } else if (this.of === id && !isOver && addresses(session).some((one) => !addresses(before).includes(one))) {
      this.tell(id); // who has left is back
    } else if (!before && !isOver && sentBack(session, ownLeg(session, identity))) {
      this.#desk.dismissAll("command"); // the call says it itself
    }
  }

  /** Unless the agent has another call. */
  tell(id, said = "") {
    if ([id, ""].includes(this.#desk.sessionId)) {
      this.said.value = said;
      this.of = said && id;
      this.#desk.dismissAll("command");
    }
  }

  /** Whether the desk says itself what became of a session. */
  isTold(id, why, done) {
    const session = this.#desk.sessions.value.get(id);
    const back = session ? sentBack(session, ownLeg(session, this.#desk.identity.value)) : "";
    return session ? back.endsWith(`: ${String(why).split(" (")[0]}.`) : !done && Boolean(id) && this.of === id;
  }
}
