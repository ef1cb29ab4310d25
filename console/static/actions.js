// What somebody does here. Nothing is shown as done before the server says so.

import { signal } from "@preact/signals";

import { follow, signedOut, notifyTabs } from "./socket.js";
import { UNANSWERED, commands, link, applyCommand } from "./store.js";

/** For so long a button does nothing after it was pressed, milliseconds: nobody means it twice. */
const GUARD_MS = 1000;
/** An answer that takes longer is none, milliseconds. */
const ANSWER_MS = 15_000;

/** Buttons that were pressed just now, by a name of each. */
export const pressed = signal(new Set());
/** Why the last action was not taken; empty for none. Said once, and until somebody closes it. */
export const refused = signal("");

/** A request that changes something was not taken; `message` says why, in the server's words where it gave any. */
export class RefusedError extends Error {
  /**
   * @param {string} reason
   * @param {number} status HTTP's; 0 where there was no answer.
   * @param {unknown} [answer] The body.
   */
  constructor(reason, status, answer) {
    super(reason);
    this.status = status;
    this.answer = answer;
    /** Whether it may have been done all the same: it was sent, and nothing says that it was refused. */
    this.mayBeDone = false;
  }

  /** The same, of a request that may have been done. */
  static ofUnknown(reason, status, answer) {
    return Object.assign(new RefusedError(reason, status, answer), { mayBeDone: true });
  }
}

/**
 * Whether a button may be pressed now; from then on it may not, for a second.
 *
 * @param {string} name
 * @returns {boolean}
 */
export function press(name) {
  if (pressed.value.has(name)) {
    return false;
  }
  pressed.value = new Set([...pressed.value, name]);
  setTimeout(() => {
    pressed.value = new Set([...pressed.value].filter((other) => other !== name));
  }, GUARD_MS);
  return true;
}

/**
 * The ids of what somebody means to have done once: made for a form when it is opened, or for one press of a button.
 *
 * Pressed again the command has the same id, so that it is done once; with other fields it is another one. So is it where
 * nothing is known yet of the same command that was given before.
 *
 * @returns {(fields: Record<string, string>) => string} The id for a command of these fields.
 */
export function intendedCommand() {
  const ids = new Map();
  return (fields) => {
    const asked = JSON.stringify(fields);
    if (!ids.has(asked)) {
      const before = commands.value.find((one) => one.status === UNANSWERED && JSON.stringify(one.fields) === asked);
      ids.set(asked, before?.command ?? newCommandId());
    }
    return ids.get(asked);
  };
}

/** Not `randomUUID`, which only pages have that came over TLS or from this machine. */
function newCommandId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `c-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Gives a command. What becomes of it comes over the socket.
 *
 * @param {Record<string, string>} fields As a command has them: type, session, and more.
 * @param {string} id The command's, see `intendedCommand`.
 * @throws {RefusedError}
 */
export async function giveCommand(fields, id) {
  const given = { command: id, type: fields.type, session: fields.session, reason: "", fields };
  try {
    await post("./commands", { ...fields, id });
    applyCommand({ ...given, status: "sent" });
    follow(id, fields.type);
  } catch (error) {
    if (error.mayBeDone) {
      applyCommand({ ...given, status: UNANSWERED });
      follow(id, fields.type);
    }
    throw error;
  }
}

/**
 * Tries dead letters again or drops them.
 *
 * @param {{ act: "retry" | "drop", ids?: string[], reason?: string, count?: number }} what
 * @returns {Promise<{ done: number, left: number }>}
 * @throws {RefusedError}
 */
export function actOnDeadLetters(what) {
  return post("./dead", what);
}

/**
 * Signs in.
 *
 * @param {string} token `CONFERRAL_API_TOKEN`.
 * @throws {RefusedError}
 */
export async function signIn(token) {
  await post("./sign-in", { token }, { isSignIn: true });
}

/**
 * Signs out. The page forgets all that it was told, whether or not the server could be reached; but only the server can
 * take the cookie away.
 */
export async function signOut() {
  try {
    await post("./sign-out", {});
    notifyTabs();
  } catch (error) {
    if (!(error instanceof RefusedError)) {
      throw error;
    }
    refused.value = `This browser stays signed in, since the server was not told: ${error.message}. Reload and sign out again.`;
  }
  signedOut();
}

async function post(address, body, { isSignIn = false } = {}) {
  if (!isSignIn && link.value.state !== "open") {
    throw new RefusedError("the console is not connected to its server", 0);
  }
  const response = await send(address, body);
  const answer = await response.json().catch(() => null); // 204, or something on the way that speaks HTML
  if (response.ok) {
    return answer;
  }
  if (response.status === 401 && !isSignIn) {
    signedOut();
  }
  const { reason = `HTTP ${response.status}`, allowed = [] } = answer?.error ?? {};
  // A refusal by the state names what is allowed already.
  const more = allowed?.length && !reason.includes("allowed now") ? `; allowed: ${allowed.join(", ")}` : "";
  const words = `${reason}${more}`;
  // Something on the way, or Redis, is away: nobody knows.
  throw response.status >= 500
    ? RefusedError.ofUnknown(words, response.status, answer)
    : new RefusedError(words, response.status, answer);
}

async function send(address, body) {
  try {
    return await fetch(new URL(address, document.baseURI), {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Conferral": "console" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  } catch (error) {
    const late = error.name === "TimeoutError";
    const words = late ? "the server does not answer; it may have been done" : "the server can't be reached";
    throw RefusedError.ofUnknown(words, 0);
  }
}
