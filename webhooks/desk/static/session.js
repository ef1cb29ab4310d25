// What a session means for this agent: who talks to whom, who waits, and what can be done now. Pure functions.

import { REASONS } from "./reasons.js";
import { listed } from "./shared/text.js";

const AWAITED = new Set(["dialing", "ringing", "confirming"]);
/** A reason as the end of a sentence; the server's own words if it is no known one. */
export const reasonText = (reason) => REASONS[reason] ?? String(reason ?? "").replace(/\.$/, "");

export const UNKNOWN = "Conferral has not said more about this call yet.";

const names = new Map();

export const noteNames = (found = {}) => Object.entries(found).forEach(([address, name]) => names.set(address, name));

/** An address as people know it: the colleague's name, or `dave` for `client:dave`. */
export const nameOf = (address) => (address ? (names.get(address) ?? String(address).replace(/^client:/, "")) : "an unknown caller");

export const present = (session) => Object.entries(session?.parties ?? {}).filter(([, party]) => party.status !== "left");

/** The agent's own leg of a session, `[name, party]`: that of a call, or the newest one with the agent's address. */
export function ownLeg(session, identity, sid = "") {
  const parties = present(session);
  return parties.find(([, { call_sid }]) => sid && call_sid === sid) ?? parties.findLast(([, { address }]) => address === `client:${identity}`);
}

/** In ms; null if unknown. */
function sinceOf(parties) {
  const sinceMs = Math.max(...parties.map(([, { since }]) => Date.parse(since)));
  return Number.isFinite(sinceMs) ? sinceMs : null;
}

/** What a call is for the agent who has it, and since when. The text is true until the session changes, so it has no times. */
export function stateOf(session, own) {
  const others = present(session).filter(([name, party]) => name !== own[0] && !name.startsWith("supervisor") && party.label);
  const named = (found) => listed(found.map(([, party]) => nameOf(party.address)));
  const talking = others.filter(([, party]) => party.status === "connected" && !party.held);
  const waiting = others.filter(([, party]) => party.status === "connected" && party.held);
  // The server is about to hear that the agent has answered.
  const isCaller = ([name]) => name === "customer" && session.direction === "inbound";
  const rung = others.filter((one) => AWAITED.has(one[1].status) && !isCaller(one));
  const caller = others.filter((one) => AWAITED.has(one[1].status) && isCaller(one));
  const rest = [
    ...waiting.map(([name, party]) => `${nameOf(party.address)} waits with music${session.old_holds?.includes(name) ? " since before an outage" : ""}.`),
    ...(caller.length ? [`You are being connected to ${named(caller)}.`] : []),
    ...rung.map(([, party]) => `${nameOf(party.address)} is being called.`),
  ];
  const found = (kind, word, parties, ...lines) => ({ kind, word, sinceMs: sinceOf(parties), text: [...lines, ...rest].filter(Boolean).join(" ") });
  if (own[1].status === "confirming") {
    const hears = session.state === "ringing" ? "it ring" : "music";
    return { ...found("ringing", "Brief", [own]), text: `You hear why you are called. The caller hears ${hears}.` };
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

/** Conferral gives a party that is not held the time of its status; people count from the end of its hold. */
export function noteUnholds(before, session) {
  for (const party of Object.values(session.parties)) {
    const was = Object.values(before?.parties ?? {}).find(({ label, status }) => label === party.label && status === party.status);
    const since = !party.held && (was?.held ? session.updated_at : was?.unheldAt);
    Object.assign(party, since && { since, unheldAt: since });
  }
}

/** Why a session ended, to the agent who is `own` in it. */
function endOf({ end_reason: reason, direction, parties }, own) {
  const named = (word, role) => {
    const party = role === "agent" ? role : "customer";
    return party === own ? "you" : direction === "outbound" ? nameOf(parties[party]?.address) : word;
  };
  return reasonText(reason).replace(/the (agent|caller)/, named).replace("you was", "you were");
}

/** What others have done between two versions of a session, as a sentence about the past. */
export function whatHappened(before, after, identity) {
  const [name, { status }] = ownLeg(before, identity);
  if (after.state === "ended") {
    const why = endOf(after, name);
    return why ? `The call has ended: ${why}.` : "The call has ended.";
  }
  const { status: reached, reason } = after.transfer ?? {};
  const isCancelled = reached === "cancelled" && reason !== "target-left";
  if (isCancelled && before.transfer?.status !== reached) {
    return "The transfer was canceled.";
  }
  if (!ownLeg(after, identity)) {
    return status === "connected" ? "You are no longer in the call, which goes on." : "The call has stopped ringing here.";
  }
  const addresses = present(after).map(([, { address }]) => address);
  const hasLeft = ([party, one]) => !party.startsWith("supervisor") && one.status === "connected" && !addresses.includes(one.address);
  const left = present(before).find((one) => hasLeft(one) && !(isCancelled && isTarget(one)));
  return left ? `${nameOf(left[1].address)} left the call.` : "";
}

/** Who sent a call back to the agent, and why; empty if no one did. */
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

/** Why a call rings, as a word and a sentence. */
export function ringOf(session, own, fromAgent) {
  const caller = session && nameOf(callerIn(session, own));
  if (own?.[0].startsWith("supervisor")) {
    return ["Supervision", `You are asked to listen to the call with ${caller}.`];
  }
  if (own?.[0] === "customer") {
    return ["Colleague", `${caller}, a colleague, calls you.`];
  }
  if (!fromAgent || session.phase === "queued") {
    return ["Incoming call", caller ? `${caller} calls.` : UNKNOWN];
  }
  if (session.phase === "consult") {
    return ["Consult", `${fromAgent} asks you first. ${caller} waits with music.`];
  }
  return session.phase === "warm" || !/^(agent|target)/.test(own[0])
    ? ["Three-way call", `${fromAgent} adds you to the call with ${caller}.`]
    : ["Handover", `${fromAgent} hands a call over to you.`];
}

/** The address of the one whom a call is about: for an agent whom a colleague calls, the colleague. */
export const callerIn = ({ parties }, own) => (own?.[0] === "customer" ? parties.agent : parties.customer)?.address;

const action = (type, label, hint, fields = {}, done = "") => ({ id: [type, ...Object.values(fields)].join(" "), type, label, hint, fields, done });

const isTarget = ([name]) => name === "target" || name.startsWith("target-");
const isMerged = (session) => session.transfer?.status === "merged";

/** What the agent can do with a session, by the button's place. What the session would refuse now has `why`. */
export function actions(session, own) {
  const isTransfer = own[0] === "agent" && session.state === "transferring" && ["warm", "consult"].includes(session.phase);
  const parties = present(session).filter(([name]) => name !== own[0]);
  const targets = parties.filter(isTarget);
  const added = parties.filter((one) => one[0] !== "customer" && !(isTransfer && isTarget(one)));
  const isReached = targets.some(([, { status }]) => status === "connected");
  const whom = listed(targets.map(([, { address }]) => nameOf(address))) || "them";
  const left = isReached ? `Handed over to ${whom}.` : `You left while ${whom} was being called.`;
  const together = isMerged(session) ? "all three talk already" : "";
  const refusal = (one, why = "") => ({ ...one, why: why || (session.refused?.[one.type] ?? "") });
  const holding = ([name, { held, address }]) =>
    refusal(action(held ? "unhold" : "hold", `${held ? "Unhold" : "Hold"} ${nameOf(address)}`, "", { party: name }));
  return {
    hold: hold(session, own, refusal),
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

function hold(session, own, refusal) {
  const party = own[0] === "customer" ? "agent" : "customer";
  const { held, status, address } = session.parties[party] ?? {};
  const who = session.direction === "outbound" ? nameOf(address) : "The caller";
  const isConsult = session.state === "transferring" && session.phase === "consult" && !isMerged(session);
  const [label, hears] = held && !isConsult ? ["Unhold", "you again"] : ["Hold", "music"];
  return refusal(action(label.toLowerCase(), label, `${who} hears ${hears}`, { party }), isConsult ? "in a consult, Swap and Merge say who waits" : status === "connected" ? "" : "the other side is not connected");
}

const RECORDING = { "in-progress": ["Pause recording", "", "pause"], paused: ["Resume recording", "", "resume"] };

function recording(status) {
  const [label, hint, step] = RECORDING[status] ?? ["Record", "Records the caller's call", "start"];
  return action("record", label, hint, { action: step });
}
