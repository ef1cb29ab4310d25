// The desk's requests to Conferral. The event stream comes by `fetch`, so that the token is in no URL.

import { noteServerTime } from "./shared/server-time.js";
import { nowMs, setClock } from "./shared/time.js";

/** How long an answer may take, and a stream may be silent, which has a comment every 15 s (ms). */
const ANSWER_MS = 8_000;
const SILENT_MS = 35_000;
/** When the stream is opened again, and after a token was refused (ms). */
const BACK_OFF_MS = 500;
const BACK_OFF_MAX_MS = 8_000;
const REFUSED_MS = 60_000;
/** When a page that gave no token is asked again (ms). */
const ASK_AGAIN_MS = 1_000;
const ASK_AGAIN_MAX_MS = 30_000;
/** A token is valid for an hour (ms). */
const RENEW_MS = 30 * 60_000;
const CLOCK_MS = 1_000;
/** Types of errors: newer pages have ended this one's stream; the page around the desk gave no token. */
export const REPLACED = "replaced";
export const NO_TOKEN = "no-token";

/** A request that was refused, or that got no answer: then the status is 0. */
export class ApiError extends Error {
  constructor(message, status = 0, type = "") {
    super(message);
    this.status = status;
    this.type = type;
  }
}

export async function request(url, { headers, body, ...options }) {
  let answer;
  try {
    const sent = body === undefined ? {} : { "Content-Type": "application/json" };
    answer = await fetch(url, {
      cache: "no-store",
      redirect: "manual",
      referrerPolicy: "no-referrer",
      headers: { Accept: "application/json", ...sent, ...headers },
      body: JSON.stringify(body),
      ...options,
    });
  } catch (error) {
    throw new ApiError(error.name === "TimeoutError" ? "Conferral did not answer" : "Conferral can't be reached");
  }
  if (answer.ok) {
    return answer;
  }
  // A proxy sends browsers to its own page, and its answers are no JSON.
  const status = answer.type === "opaqueredirect" ? 401 : answer.status;
  const { error } = await answer.json().catch(() => ({}));
  const other = status === 401 ? "The sign-in proxy asks you to sign in" : `Conferral answered ${status}`;
  throw new ApiError(String(error?.reason || other), status, String(error?.type ?? ""));
}

/** What is wrong with the link to Conferral: a sentence without its end. */
export function lostText({ status = 0, type, message } = {}) {
  if (type === REPLACED) {
    return "This page is the oldest of yours that are open, so it gets no calls any more";
  }
  if (type === NO_TOKEN) {
    return "This page gave the desk no token. The desk asks again by itself";
  }
  if (status === 401) {
    return "Your sign-in has expired or was withdrawn. Sign in again";
  }
  return status === 0 ? "Conferral can't be reached" : status < 500 ? message : `Conferral can't serve this page: ${message}`;
}

export class Api {
  #base;
  #source = "";
  #token = "";
  #renewMs = 0;
  #asking = null;
  #isReplaced = false;

  constructor(base) {
    this.#base = base;
  }

  set source(source) {
    this.#source = source;
    this.#token = "";
    if (!this.#isReplaced) {
      this.tryAgain();
    }
  }

  async send(method, path, body) {
    const answer = await this.#answered(method, path, body, AbortSignal.timeout(ANSWER_MS));
    return answer.json().catch(() => ({}));
  }

  async #answered(method, path, body, signal, headers, isAgain = false) {
    const token = await this.token();
    const authorization = { Authorization: `Bearer ${token.replace(/^Bearer +/i, "")}`, ...headers };
    try {
      // The last word of a page that is left arrives.
      const answer = await request(`${this.#base}/desk${path}`, { method, body, signal, headers: authorization, keepalive: Boolean(body?.left) });
      noteTime(answer.headers.get("Date"));
      return answer;
    } catch (error) {
      if (error.status !== 401 || isAgain || typeof this.#source !== "function") {
        throw error;
      }
      this.#token = "";
      return this.#answered(method, path, body, signal, headers, true);
    }
  }

  async token() {
    if (typeof this.#source !== "function") {
      this.#token = String(this.#source);
    } else if (!this.#token || Date.now() >= this.#renewMs) {
      this.#asking ??= askFor(this.#source).finally(() => (this.#asking = null));
      try {
        this.#token = await this.#asking;
        this.#renewMs = Date.now() + RENEW_MS;
      } catch (error) {
        if (!this.#token) {
          throw error;
        }
        this.#renewMs = Date.now() + ASK_AGAIN_MAX_MS; // the old one may still work
      }
    }
    return this.#token;
  }

  /** Keep the event stream open until `over`. `onLink` gets an error, or null once it is open. */
  async follow(path, onEvent, onLink, over, onAlive) {
    for (let tries = 0; !over.aborted; tries += 1) {
      const silence = new AbortController();
      let timer = 0;
      const heard = () => {
        onAlive();
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENT_MS);
      };
      let trouble = new ApiError("The connection to Conferral ended");
      try {
        heard();
        const signal = AbortSignal.any([over, silence.signal]);
        const answer = await this.#answered("GET", path, undefined, signal, { Accept: "text/event-stream" });
        onLink(null);
        tries = 0;
        for await (const [kind, data] of events(answer.body, heard)) {
          onEvent(kind, data);
          this.#isReplaced = kind === REPLACED;
        }
      } catch (error) {
        trouble = error instanceof ApiError ? error : trouble;
      }
      trouble.type = this.#isReplaced ? REPLACED : trouble.type;
      clearTimeout(timer);
      if (!over.aborted) {
        onLink(trouble);
        await this.#pause(pauseMs(trouble, tries), over);
        this.#isReplaced = false;
      }
    }
  }

  /** Open the stream now, which waits for its next attempt, or for a click. */
  tryAgain = () => {};

  #pause(ms, over) {
    return new Promise((done) => {
      const timer = this.#isReplaced ? 0 : setTimeout(done, ms);
      this.tryAgain = () => (clearTimeout(timer), done());
      over.addEventListener("abort", this.tryAgain, { once: true });
    });
  }
}

/** By chance, so that not all desks come back in the same moment. */
function pauseMs({ type, status }, tries) {
  if (type === NO_TOKEN) {
    return Math.min(ASK_AGAIN_MS * 2 ** tries, ASK_AGAIN_MAX_MS);
  }
  return status === 401 ? REFUSED_MS : Math.min(BACK_OFF_MS * 2 ** tries, BACK_OFF_MAX_MS) * (0.5 + Math.random());
}

/** Parse an event stream, whose data have one line. Source: HTML Living Standard, section 9.2.6. */
async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    heard();
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const { event, data } = Object.fromEntries([...block.matchAll(/^(\w+): ?([^\n]*)/gm)].map(([, ...field]) => field));
      if (data) {
        yield [event, JSON.parse(data)];
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
  noteServerTime(date);
  const behindMs = nowMs() - Date.parse(date);
  if (behindMs < -CLOCK_MS || behindMs > 1000 + CLOCK_MS) {
    setClock(Date.parse(date) + 500);
  }
}
