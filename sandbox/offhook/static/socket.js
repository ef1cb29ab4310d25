// WebSocket: passes the sandbox's messages to the store, and reconnects with exponential backoff.

import { batch } from "@preact/signals";

import { setClock } from "./shared/time.js";
import * as store from "./store.js";

/** Minimum and maximum delay before reconnecting, in milliseconds. */
const BACK_OFF_MS = 500;
const BACK_OFF_MAX_MS = 15_000;
/** The sandbox sends a message at least every 2 s; after this long without one, the connection counts as lost (ms). */
const SILENT_MS = 6_000;

let socket = null;
let pauseMs = BACK_OFF_MS;
let retryTimer = 0;
let heardMs = 0;

/** Connects, and stays connected. */
export function start() {
  connect();
  setInterval(watchSilence, 1000);
  addEventListener("online", retryNow);
  document.addEventListener("visibilitychange", () => document.hidden || retryNow());
}

/** Reconnects immediately, unless connected. */
export function retryNow() {
  if (socket === null) {
    connect();
  }
}

function connect() {
  clearTimeout(retryTimer);
  const address = new URL("./sandbox/live", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  const mine = new WebSocket(address);
  socket = mine;
  heardMs = Date.now();
  mine.onmessage = ({ data }) => mine === socket && take(JSON.parse(data));
  mine.onclose = () => mine === socket && lost();
}

function lost() {
  const old = socket;
  socket = null;
  old?.close();
  const { state, sinceMs } = store.link.value;
  const inMs = pauseMs;
  pauseMs = Math.min(BACK_OFF_MAX_MS, pauseMs * 2);
  store.link.value = {
    state: "lost",
    sinceMs: state === "lost" ? sinceMs : heardMs,
    retryMs: Date.now() + inMs,
  };
  retryTimer = setTimeout(connect, inMs);
}

/** Detects a dead connection that was never closed. */
function watchSilence() {
  if (socket !== null && Date.now() - heardMs > SILENT_MS) {
    lost();
  }
}

const TAKERS = {
  hello: (message) => {
    store.hello.value = message;
  },
  tick: ({ now }) => {
    setClock(now);
    if (store.link.value.state !== "open") {
      pauseMs = BACK_OFF_MS;
      store.link.value = { state: "open", sinceMs: Date.now(), retryMs: 0 };
    }
  },
  phones: (message) => {
    store.phones.value = message.phones;
    store.more.value = message.more;
    store.sentences.value = message.sentences;
  },
  numbers: ({ numbers }) => {
    store.numbers.value = numbers;
  },
  rooms: ({ rooms }) => {
    store.rooms.value = rooms;
  },
  messages: ({ messages }) => {
    store.messages.value = messages;
  },
  faults: (message) => {
    store.faults.value = message;
  },
  deliveries: (message) => store.takeList(store.deliveries, message),
  requests: (message) => store.takeList(store.requests, message),
  debugger: (message) => store.takeList(store.debug, message),
};

function take(message) {
  heardMs = Date.now();
  // A newer sandbox may send messages that this page doesn't know.
  batch(() => TAKERS[message.about]?.(message));
}
