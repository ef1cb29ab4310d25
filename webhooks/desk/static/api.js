// The desk's requests to Conferral: a token that is asked for again in time, JSON, and the event stream by `fetch`, so
// that the token is in no URL.

import { noteServerTime } from "./shared/server-time.js";
import { nowMs, setClock } from "./shared/time.js";

/** When another token is asked for again after a failure, and a limit for an answer, in milliseconds. */
const RENEW_AGAIN_MS = 30_000;
const ANSWER_MS = 8_000;
/** The server sends at least a comment every 15 s; after this long without one, the stream counts as lost (ms). */
const SILENT_MS = 35_000;
/** Minimum and maximum delay before the stream is opened again, in milliseconds. */
const BACK_OFF_MS = 500;
const BACK_OFF_MAX_MS = 8_000;
/** The type of an error: newer pages of the agent have ended this page's stream. */
export const REPLACED = "replaced";
/** The type of an error: the page around the desk gave it no token. */
export const NO_TOKEN = "no-token";
/** When that page is asked again at first, then after twice as long, up to a maximum (ms). */
const ASK_AGAIN_MS = 1_000;
const ASK_AGAIN_MAX_MS = 30_000;
/** A smaller difference between the clocks may be the network's (ms). */
const CLOCK_MS = 1_000;
/** A token that was refused is tried again so much later, unless the page sets another one (ms). */
const REFUSED_MS = 60_000;

/** Why requests are answered by a redirect: the proxy sends browsers to its own page. */
export const PROXY_ASKS = "The sign-in proxy asks you to sign in";

/** A request that was refused, or that got no answer: then the status is 0. */
export class ApiError extends Error {
  constructor(message, status = 0, type = "") {
    super(message);
    this.status = status;
    this.type = type;
  }
}

const STILL = "You can still hang up, mute, and send digits";
/** Why only the phone works, as sentences. @param {ApiError | null} trouble */
export function lostText(trouble) {
  if (trouble?.type === REPLACED) {
    return `This page is the oldest of yours that are open, so it gets no calls any more. ${STILL}.`;
  }
  const why = trouble?.status >= 500 ? `Conferral can't serve this page: ${trouble.message}` : "Conferral can't be reached";
  return `${why}. ${STILL}; everything else works again when it is back.`;
}

export class Api {
  #base;
  #source = "";
  #token = "";
  #renewMs = 0;
  #asking = null;
  #wake = () => {};
  #connect = () => {};

  /** @param {string} base Where Conferral is, without a slash at the end. */
  constructor(base) {
    this.#base = base;
  }

  /** Set the token: a string, or an async function that returns one. */
  set source(source) {
    this.#source = source;
    this.#token = "";
    this.#wake();
  }

  /** The agent's identity, as the token says; empty if it can't be read. */
  get identity() {
    return String(claims(this.#token).identity ?? "");
  }

  /**
   * Send a request; a token that is refused is asked for again once.
   *
   * @param {"GET" | "POST" | "PUT"} method
   * @param {string} path Below `/desk`.
   * @param {object} [body]
   * @returns {Promise<object>} The answer.
   */
  async send(method, path, body) {
    const answer = await this.#answered(method, path, body, AbortSignal.timeout(ANSWER_MS));
    try {
      return await answer.json();
    } catch {
      return {};
    }
  }

  async #answered(method, path, body, signal, headers = {}) {
    let answer = await this.#request(method, path, body, signal, headers);
    if ((answer.status === 401 || isRedirect(answer)) && typeof this.#source === "function") {
      this.#token = "";
      answer = await this.#request(method, path, body, signal, headers);
    }
    if (!answer.ok) {
      throw await refusal(answer);
    }
    return answer;
  }

  async #request(method, path, body, signal, headers) {
    const token = await this.token();
    const options = { method, signal, cache: "no-store", credentials: "same-origin", redirect: "manual", referrerPolicy: "no-referrer" };
    options.headers = { Authorization: `Bearer ${token}`, Accept: "application/json", ...headers };
    if (body !== undefined) {
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    try {
      const answer = await fetch(`${this.#base}/desk${path}`, options);
      noteTime(answer.headers.get("Date"));
      noteServerTime(answer.headers.get("Date"));
      return answer;
    } catch (error) {
      throw new ApiError(error.name === "TimeoutError" ? "Conferral did not answer" : "Conferral can't be reached");
    }
  }

  /** Return the token; from half of its life on, another one is asked for. */
  async token() {
    if (typeof this.#source !== "function") {
      this.#token = String(this.#source);
      return this.#token;
    }
    if (this.#token && nowMs() < this.#renewMs) {
      return this.#token;
    }
    this.#asking ??= askFor(this.#source).finally(() => (this.#asking = null));
    try {
      this.#token = await this.#asking;
    } catch (error) {
      if (!this.#token || nowMs() > expiryOf(this.#token)) {
        throw error;
      }
      this.#renewMs = nowMs() + RENEW_AGAIN_MS; // the old one still works
      return this.#token;
    }
    this.#renewMs = (nowMs() + expiryOf(this.#token)) / 2;
    return this.#token;
  }

  /**
   * Follow the event stream, and open it again whenever it ends; if newer pages have ended it, after `connect`.
   *
   * @param {string} path Below `/desk`.
   * @param {(kind: string, data: object) => void} onEvent
   * @param {(error: ApiError | null) => void} onLink With null once the stream is open.
   * @param {AbortSignal} signal Ends it.
   * @param {() => void} onAlive Called whenever anything arrives, in hidden pages too, whose timers are late.
   */
  async follow(path, onEvent, onLink, signal, onAlive) {
    let backOffMs = BACK_OFF_MS;
    let askAgainMs = ASK_AGAIN_MS;
    while (!signal.aborted) {
      const silence = new Silence(signal, onAlive);
      let isRefused = false;
      let isWithoutToken = false;
      let isReplaced = false;
      try {
        const headers = { Accept: "text/event-stream" };
        const answer = await this.#answered("GET", path, undefined, silence.signal, headers);
        onLink(null);
        [backOffMs, askAgainMs] = [BACK_OFF_MS, ASK_AGAIN_MS];
        for await (const [kind, data] of events(answer.body, silence)) {
          onEvent(kind, data);
          isReplaced = kind === REPLACED;
        }
        onLink(new ApiError("The connection to Conferral ended", 0, isReplaced ? REPLACED : ""));
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        isWithoutToken = error.type === NO_TOKEN;
        isRefused = error.status === 401;
        onLink(error instanceof ApiError ? error : new ApiError("The connection to Conferral was lost"));
      } finally {
        silence.end();
      }
      if (isReplaced) {
        await this.#asked(signal);
        continue;
      }
      if (isWithoutToken) {
        await this.#pause(askAgainMs, signal);
        askAgainMs = Math.min(2 * askAgainMs, ASK_AGAIN_MAX_MS);
        continue;
      }
      await this.#pause(isRefused ? REFUSED_MS : backOffMs * (0.5 + Math.random()), signal);
      backOffMs = Math.min(2 * backOffMs, BACK_OFF_MAX_MS);
    }
  }

  /** Open the event stream again that newer pages have ended. */
  connect() {
    this.#connect();
  }

  /** Don't wait any longer until the next attempt. */
  tryAgain() {
    this.#wake();
  }

  #asked(signal) {
    return new Promise((done) => {
      this.#connect = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }

  /** Wait, or until the page sets a token. */
  #pause(ms, signal) {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#wake = () => (clearTimeout(timer), done());
      signal.addEventListener("abort", this.#wake, { once: true });
    });
  }
}

/** Aborts a stream on which nothing is heard for long. */
class Silence {
  #timer = 0;
  #abort = new AbortController();

  constructor(signal, onAlive) {
    this.signal = AbortSignal.any([signal, this.#abort.signal]);
    this.onAlive = onAlive;
    this.heard();
  }

  heard() {
    this.onAlive();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#abort.abort(), SILENT_MS);
  }

  end() {
    clearTimeout(this.#timer);
  }
}

/** Parse an event stream. Source: HTML Living Standard, section 9.2.6. */
async function* events(body, silence) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    silence.heard();
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
      const data = fields.filter(([, name]) => name === "data").map(([, , one]) => one);
      if (data.length) {
        yield [fields.find(([, name]) => name === "event")?.[2] ?? "message", JSON.parse(data.join("\n"))];
      }
    }
  }
}

async function askFor(source) {
  try {
    const token = await source();
    if (typeof token === "string" && token) {
      return token;
    }
  } catch (error) {
    if (error instanceof ApiError) {
      throw error; // of Conferral's own page
    }
    // Of the page around the desk: its own log has the reason.
  }
  throw new ApiError("This page gave the desk no token", 401, NO_TOKEN);
}

/** Count by the server's clock, which only says whole seconds: this machine's may be an hour ahead. */
function noteTime(date) {
  const behindMs = nowMs() - Date.parse(date);
  if (behindMs < -CLOCK_MS || behindMs > 1000 + CLOCK_MS) {
    setClock(Date.parse(date) + 500);
  }
}

const isRedirect = (answer) => answer.type === "opaqueredirect";

async function refusal(answer) {
  if (isRedirect(answer)) {
    return new ApiError(PROXY_ASKS, 401);
  }
  let error = {};
  try {
    ({ error } = await answer.json());
  } catch {
    // Not Conferral's answer: a proxy's.
  }
  const reason = error?.reason || `Conferral answered ${answer.status}`;
  return new ApiError(String(reason), answer.status, String(error?.type ?? ""));
}

/** When a token expires, in milliseconds; Infinity if that can't be read. */
const expiryOf = (token) => Number(claims(token).exp ?? Infinity) * 1000;

/** What a token says; it is not checked here, and an unreadable one says nothing. */
function claims(token) {
  for (const part of token.split(".")) {
    try {
      const found = JSON.parse(new TextDecoder().decode(bytes(part)));
      if (found && typeof found === "object" && "identity" in found) {
        return found;
      }
    } catch {
      // Another part, or another kind of token.
    }
  }
  return {};
}

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.codePointAt(0));
