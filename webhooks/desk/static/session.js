// What a session means for this agent: who talks to whom, who waits, and what can be done now. Pure functions.

import { REASONS } from "./reasons.js";
import { listed } from "./shared/text.js";
import { span } from "./shared/time.js";

const AWAITED = new Set(["dialing", "ringing", "confirming"]);
/** @returns {string} A reason as the end of a sentence; the server's own words if it is no known one. */
export const reasonText = (reason) => REASONS[reason] ?? String(reason ?? "").replace(/\.$/, "");

const names = new Map();

/** Note what colleagues are called, by address. @param {Record<string, string>} [found] */
export const noteNames = (found = {}) => Object.entries(found).forEach(([address, name]) => names.set(address, name));

/** @returns {string} An address as people know it: the colleague's name, or `dave` for `client:dave`. */
export const nameOf = (address) => (address ? (names.get(address) ?? String(address).replace(/^client:/, "")) : "an unknown caller");

/** The session's parties that have not left, as `[name, party]`. */
export const present = (session) => Object.entries(session?.parties ?? {}).filter(([, party]) => party.status !== "left");

/**
 * The agent's own leg of a session: that of a call, or the newest one with the agent's address.
 *
 * @returns {[string, object] | undefined} Name and party.
 */
export function ownLeg(session, identity, sid = "") {
  const parties = present(session);
  return parties.find(([, { call_sid }]) => sid && call_sid === sid) ?? parties.findLast(([, { address }]) => address === `client:${identity}`);
}

/** How long all these parties have been as they are, as " for 12 s"; empty if one's time is unknown. */
function lasts(parties, nowMs) {
  const sinceMs = Math.max(...parties.map(({ since }) => Date.parse(since)));
  return Number.isFinite(sinceMs) ? ` for ${span(nowMs - sinceMs)}` : "";
}

/**
 * Who talks to whom, who waits, and who is rung.
 *
 * @param {object} session
 * @param {[string, object]} own The agent's own leg.
 * @param {number} nowMs The server's time.
 * @returns {string}
 */
export function sentence(session, own, nowMs) {
  const others = present(session).filter(([name, party]) => name !== own[0] && !name.startsWith("supervisor") && party.label);
  const named = (found) => listed(found.map(([, party]) => nameOf(party.address)));
  const talking = others.filter(([, party]) => party.status === "connected" && !party.held);
  const waiting = others.filter(([, party]) => party.status === "connected" && party.held);
  // Who called in is not called: the server is about to hear that the agent has answered.
  const isCaller = ([name]) => name === "customer" && session.direction === "inbound";
  const rung = others.filter((one) => AWAITED.has(one[1].status) && !isCaller(one));
  const caller = others.filter((one) => AWAITED.has(one[1].status) && isCaller(one));
  const lines = [];
  if (own[1].status === "confirming") {
    lines.push("You hear why you are called. Press 1 to take the call.");
  } else if (own[1].held) {
    lines.push(`You wait on hold${lasts([own[1]], nowMs)}.`, talking.length > 1 ? `${named(talking)} talk.` : "");
  } else if (talking.length) {
    lines.push(`You talk to ${named(talking)}${lasts([own[1], ...talking.map(([, party]) => party)], nowMs)}.`);
  } else {
    lines.push(rung.length || waiting.length || caller.length ? "" : "You are alone in this call.");
  }
  lines.push(...waiting.map(([, party]) => `${nameOf(party.address)} waits with music${lasts([party], nowMs)}.`));
  lines.push(caller.length ? `You are being connected to ${named(caller)}.` : "");
  lines.push(...rung.map(([, party]) => `${nameOf(party.address)} is being called${lasts([party], nowMs)}.`));
  return lines.filter(Boolean).join(" ");
}

/** A button's command, and what it does. */
const action = (type, label, hint, fields = {}) => ({ type, label, hint, fields });

/**
 * What the agent can do with a session, in the order of the buttons. The first one or two that are likely have
 * `likely`; what the session would refuse now has `why`.
 *
 * @returns {{ id: string, type: string, label: string, hint: string, fields: object, likely: boolean, why: string }[]}
 */
export function actions(session, own) {
  const parties = present(session).filter(([name]) => name !== own[0]);
  const isTarget = (name) => name === "target" || name.startsWith("target-");
  const isTransfer = session.state === "transferring" && ["warm", "consult"].includes(session.phase);
  const isReached = parties.some(([name, { status }]) => isTarget(name) && status === "connected");
  const isMine = own[0] === "agent";
  const found = [
    { ...action("cancel", "Cancel", "The target leaves; you keep the caller"), likely: isTransfer && !isReached },
    { ...action("complete", "Complete", isReached ? "You leave; the others go on" : "You leave; the target goes on ringing"), likely: true },
    { ...action("swap", "Swap", "Talk to the other one"), likely: true },
    action("merge", "Merge", "All three talk"),
    { ...action("transfer", "Transfer…", "Hand the call over, or ask first"), likely: true },
    // In a consult, swap and merge say who is on hold.
    ...holds(parties.filter(([name]) => !(session.phase === "consult" && (name === "customer" || isTarget(name))))),
    action("press", "Digits…", "Send tones to one party"),
    action("add", "Add…", "Call one more party into this call"),
    action("park", "Park", "The caller waits until a colleague takes the call"),
    ...recordings(session.recording),
    ...parties
      .filter(([name]) => name !== "customer" && !(isTransfer && isTarget(name)))
      .map(([name, { address }]) => action("remove", `Remove ${nameOf(address)}`, "Hangs up this party", { party: name })),
    { ...action("end", "End for everyone", "Hangs up on all parties"), danger: true },
  ];
  return found.map((one) => {
    const why = session.refused?.[one.type] ?? "";
    return { ...one, why, likely: Boolean(one.likely) && isMine && !why, id: [one.type, ...Object.values(one.fields)].join(" ") };
  });
}

/** Hold and unhold for each party that can be; the caller's is the likely one. */
function holds(parties) {
  return parties
    .filter(([, { status }]) => status === "connected")
    .map(([name, { held, address }]) => {
      const verb = held ? "Unhold" : "Hold";
      const label = name === "customer" ? verb : `${verb} ${nameOf(address)}`;
      const hint = held ? "They hear the others again" : "They hear music";
      return { ...action(held ? "unhold" : "hold", label, hint, { party: name }), likely: name === "customer" };
    });
}

/** What can be done with a recording of this status. */
function recordings(status) {
  const stop = action("record", "Stop recording", "Ends the recording", { action: "stop" });
  if (status === "in-progress") {
    return [action("record", "Pause recording", "Nothing is recorded until you resume", { action: "pause" }), stop];
  }
  return status === "paused"
    ? [action("record", "Resume recording", "Records again", { action: "resume" }), stop]
    : [action("record", "Record", "Records the caller's call", { action: "start" })];
}
