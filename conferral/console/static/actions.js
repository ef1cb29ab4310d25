// Actions: requests that change something. The page shows a result only once the server reports it.

import { signal } from "@preact/signals";

import { earliestMs } from "./shared/server-time.js";
import { follow, signedOut, notifyTabs } from "./socket.js";
import { UNANSWERED, commands, hasFailed, link, applyCommand } from "./store.js";

/** How long a pressed button is disabled against double clicks, in milliseconds. */
const GUARD_MS = 1000;
/** Request timeout, in milliseconds. */
const ANSWER_MS = 15_000;
/** How much earlier a command's deadline is: a decision just in time must arrive (ms). */
const MARGIN_MS = 2_000;

/** Recently pressed buttons, by name. */
export const pressed = signal(new Set());
/** Why the last action was rejected; empty for none. Shown until the user closes it. */
export const refused = signal("");
/** Ids of the commands that the server hasn't answered yet, by their fields as JSON. */
const unanswered = new Map();

/** A rejected request; `message` is the reason, in the server's words if it gave one. */
export class RefusedError extends Error {
  /**
   * @param {string} reason
   * @param {number} status HTTP status; 0 without a response.
   * @param {unknown} [answer] The body.
   */
  constructor(reason, status, answer) {
    super(reason);
    this.status = status;
    this.answer = answer;
    /** Whether the request may have succeeded: it was sent, and no response says otherwise. */
    this.mayBeDone = false;
  }

  /** Returns an error for a request that may have succeeded. */
  static ofUnknown(reason, status, answer) {
    return Object.assign(new RefusedError(reason, status, answer), { mayBeDone: true });
  }
}

/**
 * Whether a button can be pressed now; disables it for a second.
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
 * Generates idempotency keys, for one opened form or one press of a button.
 *
 * Submitting the same fields again reuses the id, so that the command runs once; other fields get another id. Fields of
 * an earlier command that is not answered yet, or whose outcome is unknown, get that command's id; those of one that
 * has failed, a new one.
 *
 * @returns {(fields: Record<string, string>) => string} The id for a command with these fields.
 */
export function commandIdSource() {
  const ids = new Map();
  return (fields) => {
    const asked = JSON.stringify(fields);
    if (!ids.has(asked) || commands.value.some((one) => one.command === ids.get(asked) && hasFailed(one))) {
      const before = commands.value.find((one) => one.status === UNANSWERED && JSON.stringify(one.fields) === asked);
      ids.set(asked, unanswered.get(asked) ?? before?.command ?? newCommandId());
    }
    return ids.get(asked);
  };
}

/** Not `randomUUID`, which requires a secure context (TLS or localhost). */
function newCommandId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `c-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Submits a command. Its status arrives over the WebSocket.
 *
 * @param {Record<string, string>} fields The command's fields: type, session, and more.
 * @param {string} id The command's id, see `commandIdSource`.
 * @throws {RefusedError}
 */
export async function submitCommand(fields, id) {
  const deadline = new Date(earliestMs() + ANSWER_MS - MARGIN_MS).toISOString();
  const given = { command: id, type: fields.type, session: fields.session, reason: "", fields, deadline };
  const asked = JSON.stringify(fields);
  unanswered.set(asked, id);
  try {
    await post("./commands", { ...fields, id, deadline });
    applyCommand({ ...given, status: "sent" });
    follow(given);
  } catch (error) {
    if (error.mayBeDone) {
      applyCommand({ ...given, status: UNANSWERED });
      follow(given);
    }
    throw error;
  } finally {
    if (unanswered.get(asked) === id) unanswered.delete(asked);
  }
}

/**
 * Retries or drops dead letters.
 *
 * @param {{ act: "retry" | "drop" | "resend", ids?: string[], reason?: string, count?: number }} what
 * @returns {Promise<{ done: number, left: number }>}
 * @throws {RefusedError}
 */
export function actOnDeadLetters(what) {
  return post("./dead", what);
}

/**
 * Signs in.
 *
 * @param {string} token One of the console's tokens.
 * @throws {RefusedError}
 */
export async function signIn(token) {
  await post("./sign-in", { token }, { isSignIn: true });
}

/**
 * Signs out. The page forgets its data even if the server is unreachable, but only the server can delete the cookie.
 */
export async function signOut() {
  try {
    await post("./sign-out", {});
    notifyTabs();
  } catch (error) {
    if (!(error instanceof RefusedError)) {
      throw error;
    }
    refused.value = `This browser is still signed in: ${error.message}. Reload and sign out again.`;
  }
  signedOut();
}

async function post(address, body, { isSignIn = false } = {}) {
  if (!isSignIn && link.value.state !== "open") {
    throw new RefusedError("the console is not connected to its server", 0);
  }
  const response = await send(address, body);
  const answer = await response.json().catch(() => null); // 204, or a proxy's HTML
  if (response.ok) {
    return answer;
  }
  if (response.status === 401 && !isSignIn) {
    signedOut();
  }
  const { reason = `HTTP ${response.status}`, allowed = [] } = answer?.error ?? {};
  // A rejection because of the state already names the allowed commands.
  const more = allowed?.length && !reason.includes("allowed now") ? `; allowed: ${allowed.join(", ")}` : "";
  const words = `${reason}${more}`;
  // A proxy or Redis is unavailable: the outcome is unknown.
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
    const words = late ? "the server is not responding; the change may have taken effect" : "the server can't be reached";
    throw RefusedError.ofUnknown(words, 0);
  }
}
