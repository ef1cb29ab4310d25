// What a session means for this agent: who talks to whom, who waits, and what can be done now. Pure functions.

import { REASONS } from "./reasons.js";
import { listed } from "./shared/text.js";

const AWAITED = new Set(["dialing", "ringing", "confirming"]);
/** A reason as the end of a sentence; the server's own words if it is no known one. */
export const reasonText = (reason) => REASONS[reason] ?? String(reason ?? "").replace(/\.$/, "");

const names = new Map();

export const noteNames = (found = {}) => Object.entries(found).forEach(([address, name]) => names.set(address, name));

/** An address as people know it: the colleague's name, or `dave` for `client:dave`. */
export const nameOf = (address) => (address ? (names.get(address) ?? String(address).replace(/^client:/, "")) : "an unknown caller");

/** The session's parties that have not left, as `[name, party]`. */
export const present = (session) => Object.entries(session?.parties ?? {}).filter(([, party]) => party.status !== "left");

/** The agent's own leg of a session, `[name, party]`: that of a call, or the newest one with the agent's address. */
export function ownLeg(session, identity, sid = "") {
  const parties = present(session);
  return parties.find(([, { call_sid }]) => sid && call_sid === sid) ?? parties.findLast(([, { address }]) => address === `client:${identity}`);
}

/** Since when all these parties have been as they are (ms); null if one's time is unknown. */
function sinceOf(parties) {
  const sinceMs = Math.max(...parties.map(([, { since }]) => Date.parse(since)));
  return Number.isFinite(sinceMs) ? sinceMs : null;
}

/**
 * What a call is for the agent who has it, and since when: its kind (`ringing`, `talking`, `hold`, or `alone`), a word, and
 * who talks to whom, who waits, and who is rung. The text is true until the session changes, so it has no times.
 */
export function stateOf(session, own) {
  const others = present(session).filter(([name, party]) => name !== own[0] && !name.startsWith("supervisor") && party.label);
  const named = (found) => listed(found.map(([, party]) => nameOf(party.address)));
  const talking = others.filter(([, party]) => party.status === "connected" && !party.held);
  const waiting = others.filter(([, party]) => party.status === "connected" && party.held);
  // Who called in is not called: the server is about to hear that the agent has answered.
  const isCaller = ([name]) => name === "customer" && session.direction === "inbound";
  const rung = others.filter((one) => AWAITED.has(one[1].status) && !isCaller(one));
  const caller = others.filter((one) => AWAITED.has(one[1].status) && isCaller(one));
  const rest = [
    ...waiting.map(([, party]) => `${nameOf(party.address)} waits with music.`),
    ...(caller.length ? [`You are being connected to ${named(caller)}.`] : []),
    ...rung.map(([, party]) => `${nameOf(party.address)} is being called.`),
  ];
  const found = (kind, word, parties, ...lines) => ({ kind, word, sinceMs: sinceOf(parties), text: [...lines, ...rest].filter(Boolean).join(" ") });
  if (own[1].status === "confirming") {
    const hears = session.state === "ringing" ? "The caller hears it ring." : "The caller hears music.";
    return { ...found("ringing", "Brief", [own]), text: `You hear why you are called. ${hears}` };
  }
  if (own[1].held) {
    return found("hold", "On hold", [own], "You wait on hold.", talking.length > 1 ? `${named(talking)} talk.` : "");
  }
  if (talking.length) {
    return found("talking", "Talking", [own, ...talking], `You talk to ${named(talking)}.`);
  }
  if (rung.length || caller.length) {
    return found("ringing", rung.length ? "Calling" : "Connecting", [...rung, ...caller]);
  }
  return waiting.length ? found("hold", "On hold", waiting) : found("alone", "Alone", Object.entries(session.parties), "You are alone in this call.");
}

/** Who sent a call back to the agent, and why, as a sentence; empty if no one did. */
export function sentBack(session, own) {
  const { mode, to, status, reason } = session?.transfer ?? {};
  const isBack = session?.phase === "recall" || (status === "failed" && (mode === "blind" || mode === "park"));
  if (own?.[1].is_lost) {
    return "Your line was lost.";
  }
  if (!isBack || own?.[0] !== "agent" || !reason) {
    return "";
  }
  const why = reasonText(reason.split(",")[0]);
  return mode === "park" ? `Back from park: ${why}.` : `Back from ${listed(String(to).split(",").map(nameOf))}: ${why}.`;
}

/** A button's command, and what it does; `done` is what the agent reads after the call. */
const action = (type, label, hint, fields = {}, done = "") => ({ id: [type, ...Object.values(fields)].join(" "), type, label, hint, fields, done });

const isTarget = ([name]) => name === "target" || name.startsWith("target-");
const isMerged = (session) => session.transfer?.status === "merged";

/**
 * What the agent can do with a session, by the button's place; `more` is a list. What the session would refuse now has
 * `why`. Those of a transfer are there while the agent's own transfer is under way.
 */
export function actions(session, own) {
  const isTransfer = own[0] === "agent" && session.state === "transferring" && ["warm", "consult"].includes(session.phase);
  const parties = present(session).filter(([name]) => name !== own[0]);
  const targets = parties.filter(isTarget);
  const added = parties.filter((one) => one[0] !== "customer" && !(isTransfer && isTarget(one)));
  const isReached = targets.some(([, { status }]) => status === "connected");
  const whom = listed(targets.map(([, { address }]) => nameOf(address))) || "them";
  const left = isReached ? `Handed over to ${whom}.` : `You have left. ${whom} is still being called.`;
  const together = isMerged(session) ? "all three talk already" : "";
  const refusal = (one, why = "") => ({ ...one, why: why || (session.refused?.[one.type] ?? "") });
  const holding = ([name, { held, address }]) =>
    refusal(action(held ? "unhold" : "hold", `${held ? "Unhold" : "Hold"} ${nameOf(address)}`, "", { party: name }));
  return {
    hold: hold(session, refusal),
    record: refusal(recording(session.recording)),
    park: refusal(action("park", "Park", "The caller waits until a colleague takes the call", {}, "The call is parked.")),
    more: [
      refusal(action("add", "Add a party", "")),
      refusal(action("record", "Stop recording", "", { action: "stop" }), session.recording ? "" : "nothing is recorded"),
      { ...refusal(action("end", "End for everyone", "")), isDanger: true },
      ...added.filter(([, { status }]) => status === "connected").map(holding),
      ...added.map(([name, { address }]) => refusal(action("remove", `Remove ${nameOf(address)}`, "", { party: name }))),
    ],
    ...(isTransfer && {
      cancel: refusal(action("cancel", "Cancel", "The target leaves; you keep the caller")),
      swap: refusal(action("swap", "Swap", "Talk to the other one"), together),
      merge: refusal(action("merge", "Merge", "All three talk"), together),
      complete: refusal(action("complete", "Complete", isReached ? "You leave; the others go on" : "You leave; the target goes on ringing", {}, left)),
    }),
    isReached,
    refusedTransfer: session.refused?.transfer ?? "",
  };
}

function hold(session, refusal) {
  const { held, status } = session.parties.customer ?? {};
  const isConsult = session.state === "transferring" && session.phase === "consult" && !isMerged(session);
  const party = { party: "customer" };
  const one = held && !isConsult ? action("unhold", "Unhold", "The caller hears you again", party) : action("hold", "Hold", "The caller hears music", party);
  return refusal(one, isConsult ? "in a consult, Swap and Merge say who waits" : status === "connected" ? "" : "the caller is not connected");
}

/** What can be done next with a recording of this status. */
function recording(status) {
  if (status === "in-progress") {
    return action("record", "Pause recording", "", { action: "pause" });
  }
  return status === "paused"
    ? action("record", "Resume recording", "", { action: "resume" })
    : action("record", "Record", "Records the caller's call", { action: "start" });
}
