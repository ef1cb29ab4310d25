// WebSocket: passes the server's messages to the store, and subscribes to what the route shows. Reconnects with
// exponential backoff, unless the user isn't signed in: then it shows the sign-in.

import { batch, effect } from "@preact/signals";

import { noteServerTime } from "./shared/server-time.js";
import { setClock } from "./shared/time.js";
import { isSplit, route } from "./route.js";
import * as store from "./store.js";

/** Minimum and maximum delay before reconnecting, in milliseconds. */
const BACK_OFF_MS = 500;
const BACK_OFF_MAX_MS = 30_000;
/** The server sends a message at least every 2 s; after this long without one, the connection counts as lost (ms). */
const SILENT_MS = 5_000;
/** The server's close code for: not signed in. */
const NOT_SIGNED_IN = 4401;

/** Tabs of the same console in this browser. */
const tabs = new BroadcastChannel(`conferral-console ${location.pathname}`);

let socket = null;
let pauseMs = BACK_OFF_MS;
let retryTimer = 0;
let heardMs = 0;
/** The subscription last sent to the server. */
let asked = "";

/** Connects, and keeps the server's subscription up to date. */
export function start() {
  connect();
  effect(() => subscribe(wantedSubscription()));
  setInterval(watchSilence, 1000);
  addEventListener("online", retryNow);
  tabs.onmessage = resubscribe;
  document.addEventListener("visibilitychange", () => document.hidden || retryNow());
}

/** Reconnects immediately, for instance after the sign-in; an open connection is left alone. */
export function retryNow() {
  if (socket === null && store.link.value.state !== "signed-out") {
    connect();
  }
}

/** Connects after a sign-in. */
export function signedIn() {
  pauseMs = BACK_OFF_MS;
  store.link.value = { state: "connecting", sinceMs: Date.now(), retryMs: 0 };
  connect();
}

/** Reconnects unless the user signed out here: the server decides whether this page is still signed in. */
function resubscribe() {
  if (store.link.value.state !== "signed-out") {
    connect();
  }
}

/** Notifies this browser's other tabs of the sign-out, so that none keeps using the old sign-in. */
export function notifyTabs() {
  tabs.postMessage("signed-out");
}

/** Closes the connection for good, because the user has signed out or was never signed in. */
export function signedOut() {
  clearTimeout(retryTimer);
  closeSocket();
  store.resetAll();
  store.asOf.value = null;
  store.link.value = { state: "signed-out", sinceMs: Date.now(), retryMs: 0 };
}

/**
 * Subscribes to a command's status.
 *
 * @param {{ command: string, type: string, deadline: string }} one Its id; its type, which the status message repeats;
 *   and when it expires: some time later, it has failed if no worker has decided it.
 */
export function follow({ command, type, deadline }) {
  send({ follow: command, type, deadline });
}

// ---- connection ------------------------------------------------------------------------------------------------------

function connect() {
  clearTimeout(retryTimer);
  closeSocket();
  asked = "";
  const address = new URL("./live", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  const mine = new WebSocket(address);
  socket = mine;
  heardMs = Date.now();
  mine.onmessage = ({ data }) => mine === socket && handle(JSON.parse(data));
  mine.onclose = ({ code }) => mine === socket && onClose(code);
}

function closeSocket() {
  const old = socket;
  socket = null;
  old?.close();
}

function onClose(code) {
  if (code === NOT_SIGNED_IN) {
    signedOut();
    return;
  }
  socket = null;
  reconnectLater();
}

/** Marks the connection as lost, and schedules a reconnect with exponential backoff. */
function reconnectLater() {
  closeSocket();
  // Jitter between half and the full delay, so that many pages don't reconnect together.
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

/** Detects a dead connection that was never closed. */
function watchSilence() {
  if (socket !== null && Date.now() - heardMs > SILENT_MS) {
    reconnectLater();
  }
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify(message));
  }
}

// ---- subscription ----------------------------------------------------------------------------------------------------

/** Returns the subscription for the current route; tracked by `effect`. */
function wantedSubscription() {
  const { view, id, choices, list } = route.value;
  const full = store.full.value;
  const ended = Boolean(list.get("ended"));
  switch (view) {
    case "session":
      return { view, id, full, with_list: isSplit.value, ended };
    case "agents":
      return { view, full, zone: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "" };
    case "health":
    case "report": // fetched by itself; the summary comes with any view
      return { view: "health" };
    case "dead":
      return { view, reason: choices.get("reason") ?? "", full };
    default:
      return { view: "sessions", ended, full };
  }
}

/** Sends the subscription to the server, unless it has it already. */
function subscribe(view) {
  const text = JSON.stringify(view);
  if (text === asked || socket?.readyState !== WebSocket.OPEN) {
    return;
  }
  asked = text;
  const message = { ...view };
  if (view.view === "session") {
    message.after = lastKnownEntry(view);
  }
  send(message);
}

/** Returns the id of a session's last known entry; empty for none, and for another session than before. */
function lastKnownEntry(view) {
  const of = store.session.peek();
  const isSame = of !== null && (of.id === view.id || of.asked === view.id) && of.full === view.full;
  if (!isSame) {
    store.resetSession();
    return "";
  }
  // Results of the newest effects may have arrived meanwhile: request entries with open effects again.
  const all = store.moments.peek();
  const open = all.findIndex((moment) => moment.effects.some((one) => !one.outcome));
  const last = open < 0 ? all.length : open;
  return all[last - 1]?.entry ?? "";
}

// ---- messages --------------------------------------------------------------------------------------------------------

const HANDLERS = {
  hello: (message) => {
    store.hello.value = message;
    opened();
  },
  tick: (message) => {
    setClock(message.now);
    noteServerTime(message.now);
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
      store.session.value = { ...message, full: store.full.value };
    }
  },
  log: (message) => {
    if (message.id === store.session.value?.id) {
      store.applyLog(message);
    }
  },
  command: store.applyCommand,
  agents: (message) => {
    store.agents.value = message.agents;
  },
  health: (message) => {
    store.health.value = message;
    store.deadCount.value = message.dead;
  },
  dead: (message) => {
    store.dead.value = message;
    store.deadCount.value = message.count;
  },
};

function handle(message) {
  heardMs = Date.now();
  // A newer server may send messages that this page doesn't know.
  batch(() => HANDLERS[message.about]?.(message));
}

function opened() {
  pauseMs = BACK_OFF_MS;
  store.link.value = { state: "open", sinceMs: Date.now(), retryMs: 0 };
  subscribe(wantedSubscription());
  for (const one of store.commands.value) {
    if (!store.isFinal(one.status)) {
      follow(one);
    }
  }
}
