// The socket: what the server tells goes to the store, and what is looked at is told to the server. It comes back by
// itself when it was lost, ever more slowly, but for one reason: whoever is not signed in gets the sign-in.

import { batch, effect } from "@preact/signals";

import { setClock } from "./shared/time.js";
import { route } from "./route.js";
import * as store from "./store.js";

/** First and longest pause before the next try, milliseconds. */
const BACK_OFF_MS = 500;
const BACK_OFF_MAX_MS = 30_000;
/** The server says at least every 2 s that it is there; without a word for so long, it is not (milliseconds). */
const SILENT_MS = 5_000;
/** Its close code for: not signed in. */
const NOT_SIGNED_IN = 4401;

/** Tabs of the same console in this browser. */
const tabs = new BroadcastChannel(`conferral-console ${location.pathname}`);

let socket = null;
let pauseMs = BACK_OFF_MS;
let retryTimer = 0;
let heardMs = 0;
/** What is looked at, as the server was told last. */
let asked = "";

/** Connects, and tells the server from now on what is looked at. */
export function start() {
  connect();
  effect(() => ask(wanted()));
  setInterval(watchSilence, 1000);
  addEventListener("online", retryNow);
  tabs.onmessage = resubscribe;
  document.addEventListener("visibilitychange", () => document.hidden || retryNow());
}

/** Connects at once, for instance after the sign-in; a connection that stands is left alone. */
export function retryNow() {
  if (socket === null && store.link.value.state !== "signed-out") {
    connect();
  }
}

/** Connects after somebody has signed in. */
export function signedIn() {
  pauseMs = BACK_OFF_MS;
  store.link.value = { state: "connecting", sinceMs: Date.now(), retryMs: 0 };
  connect();
}

/** Connects anew where nobody has signed out here: the server says whether this page may still look. */
function resubscribe() {
  if (store.link.value.state !== "signed-out") {
    connect();
  }
}

/** Tells the other tabs of this browser that somebody has signed out here: none of them goes on by the old sign-in. */
export function notifyTabs() {
  tabs.postMessage("signed-out");
}

/** Lets go of the connection for good: somebody has signed out, or was never in. */
export function signedOut() {
  clearTimeout(retryTimer);
  drop();
  store.resetAll();
  store.asOf.value = null;
  store.link.value = { state: "signed-out", sinceMs: Date.now(), retryMs: 0 };
}

/**
 * Asks to be told what becomes of a command.
 *
 * @param {string} command Its id.
 * @param {string} type Its type, which comes back with the answer.
 */
export function follow(command, type) {
  send({ follow: command, type });
}

// ---- the socket ------------------------------------------------------------------------------------------------------

function connect() {
  clearTimeout(retryTimer);
  drop();
  asked = "";
  const address = new URL("./live", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  const mine = new WebSocket(address);
  socket = mine;
  heardMs = Date.now();
  mine.onmessage = ({ data }) => mine === socket && take(JSON.parse(data));
  mine.onclose = ({ code }) => mine === socket && closed(code);
}

function drop() {
  const old = socket;
  socket = null;
  old?.close();
}

function closed(code) {
  if (code === NOT_SIGNED_IN) {
    signedOut();
    return;
  }
  socket = null;
  lost();
}

/** Nothing is heard any more: says so, and tries again after a pause that grows. */
function lost() {
  drop();
  // Somewhere between half and the whole of it: many pages don't come back in the same moment.
  const inMs = pauseMs * (0.5 + Math.random() / 2);
  pauseMs = Math.min(BACK_OFF_MAX_MS, pauseMs * 2);
  const { state, sinceMs } = store.link.value;
  const known = state === "lost" || state === "connecting";
  store.link.value = {
    state: store.asOf.value === null && state === "connecting" ? "connecting" : "lost",
    sinceMs: known ? sinceMs : heardMs,
    retryMs: Date.now() + inMs,
  };
  retryTimer = setTimeout(connect, inMs);
}

/** A socket may be dead without anybody having closed it. */
function watchSilence() {
  if (socket !== null && Date.now() - heardMs > SILENT_MS) {
    lost();
  }
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify(message));
  }
}

// ---- what is looked at -----------------------------------------------------------------------------------------------

/** What is to be looked at by where somebody is; followed by `effect`. */
function wanted() {
  const { view, id, choices } = route.value;
  const full = store.full.value;
  switch (view) {
    case "session":
      // First as it is now: that tells how it ended, and what the versions are.
      return { view, id, full, as_of: isKnown(id) ? versionOf(choices) : null };
    case "health":
      return { view };
    case "dead":
      return { view, reason: choices.get("reason") ?? "", full };
    default:
      return { view: "sessions", ended: choices.get("ended") === "1", full };
  }
}

function isKnown(id) {
  const found = store.session.value;
  return found !== null && (found.id === id || found.asked === id);
}

/** The version that a session is looked at as of; null for as it is now. */
function versionOf(choices) {
  const version = Number.parseInt(choices.get("at") ?? "", 10);
  return version > 0 ? version : null;
}

/** Tells the server what is looked at, unless it knows. */
function ask(view) {
  const text = JSON.stringify(view);
  if (text === asked || socket?.readyState !== WebSocket.OPEN) {
    return;
  }
  asked = text;
  const message = { ...view };
  if (view.view === "session") {
    message.after = known(view);
  }
  send(message);
}

/** Id of the last moment that is known of a session; empty for none, and after another one was looked at. */
function known(view) {
  const of = store.session.peek();
  const isSame = of !== null && (of.id === view.id || of.asked === view.id) && of.full === view.full;
  if (!isSame) {
    store.resetSession();
    return "";
  }
  // What comes of the newest effects may have been told meanwhile: moments with open ones are asked for again.
  const all = store.moments.peek();
  const open = all.findIndex((moment) => moment.effects.some((one) => !one.outcome));
  const last = open < 0 ? all.length : open;
  return all[last - 1]?.entry_id ?? "";
}

// ---- what the server tells -------------------------------------------------------------------------------------------

const HANDLERS = {
  hello: (message) => {
    store.hello.value = message;
    opened();
  },
  tick: (message) => {
    setClock(message.now);
    store.asOf.value = message.as_of ?? store.asOf.value;
    store.redisError.value = message.trouble;
  },
  summary: (message) => {
    store.summary.value = message;
    store.deadCount.value = message.dead;
  },
  sessions: store.applyRows,
  session: (message) => {
    if (message.id === route.value.id || message.asked === route.value.id) {
      const known = { ...message, full: store.full.value };
      const isPast = typeof message.as_of === "number";
      store.past.value = isPast ? known : null;
      if (!isPast) {
        store.session.value = known;
      }
    }
  },
  log: (message) => {
    if (message.id === store.session.value?.id) {
      store.applyLog(message);
    }
  },
  command: store.applyCommand,
  health: (message) => {
    store.health.value = message;
    store.deadCount.value = message.dead;
  },
  dead: (message) => {
    store.dead.value = message;
    store.deadCount.value = message.count;
  },
  error: (message) => console.warn("The server does not understand this page:", message.reason),
};

function take(message) {
  heardMs = Date.now();
  // A server that is newer may tell of more than this page knows.
  batch(() => HANDLERS[message.about]?.(message));
}

function opened() {
  pauseMs = BACK_OFF_MS;
  store.link.value = { state: "open", sinceMs: Date.now(), retryMs: 0 };
  ask(wanted());
  for (const one of store.commands.value) {
    if (!store.isFinal(one.status)) {
      follow(one.command, one.type);
    }
  }
}
