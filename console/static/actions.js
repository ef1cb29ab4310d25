// What somebody does here. Nothing is shown as done before the server says so.

import { signal } from "@preact/signals";

import { follow, signedOut, tellTabs } from "./live.js";
import { link, takeCommand } from "./store.js";

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
 * Gives a command. What becomes of it comes over the socket.
 *
 * @param {Record<string, string>} fields As a command has them: type, session, and more.
 * @throws {RefusedError}
 */
export async function giveCommand(fields) {
  const { command } = await post("./commands", fields);
  takeCommand({ command, type: fields.type, session: fields.session, status: "sent", reason: "", fields });
  follow(command, fields.type);
}

/**
 * Tries dead letters again or drops them.
 *
 * @param {{ act: "retry" | "drop", ids?: string[], reason?: string, count?: number }} what
 * @returns {Promise<{ done: number, left: number }>}
 * @throws {RefusedError}
 */
export function actOnDead(what) {
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
    tellTabs();
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
  throw new RefusedError(`${reason}${more}`, response.status, answer);
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
    throw new RefusedError(late ? "the server does not answer; it may have been done" : "the server can't be reached", 0);
  }
}
