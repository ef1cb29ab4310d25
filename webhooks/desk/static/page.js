// The page around the desk: it signs agents in and out, and its title says who calls.

import { ApiError, request } from "./api.js";
import { printable } from "./shared/text.js";

const desk = document.querySelector("conferral-desk");
const notice = document.getElementById("notice");
const [again, signOut] = ["again", "sign-out"].map((id) => document.getElementById(id));
const TITLE = document.title;
/** Whether a sign-in proxy may say who the agent is. */
const HAS_PROXY = "signInProxy" in document.body.dataset;
/** Whom this tab has signed in, over a reload. */
const AS = "conferral-desk-as";
const RETRY_MAX_MS = 30_000;
let isInCall = false;
let isRefused = false;

function say(text = "", mayAsk = false) {
  notice.hidden = !text;
  notice.querySelector("span").textContent = printable(text);
  again.hidden = !(mayAsk && HAS_PROXY);
}

/** Send a request of the sign-in, whose cookie no script sees. */
const ask = async (method, path, body) => (await request(`./desk/session${path}`, { method, headers: { "X-Conferral": "desk" }, body })).json().catch(() => ({}));

/** A text of an address, also of one that was cut. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function patiently(method, path, body) {
  for (let waitMs = 1000; ; waitMs = Math.min(2 * waitMs, RETRY_MAX_MS)) {
    try {
      return await ask(method, path, body);
    } catch (error) {
      if (error.status && error.status !== 429 && error.status < 500) {
        throw error;
      }
      say(`You can't be signed in yet: ${error.message}. Trying again…`);
      await new Promise((done) => setTimeout(done, waitMs));
    }
  }
}

function over(text) {
  const goesOn = isInCall ? " Your call goes on until you hang up." : "";
  say(`You are signed out: ${text}.${goesOn}`, true);
  signOut.hidden = true;
}

function use(identity) {
  sessionStorage.setItem(AS, identity);
  history.replaceState(null, "", `${location.pathname}?as=${identity}`);
  say();
  signOut.hidden = false;
  desk.token = async () => {
    if (sessionStorage.getItem(AS) !== identity) {
      throw new ApiError("You are signed out", 401);
    }
    return nextToken(identity);
  };
  if (!desk.isConnected) {
    document.querySelector("main").append(desk); // after a sign-out
  }
}

async function nextToken(identity) {
  try {
    return (await ask("POST", "/token", { identity })).token;
  } catch (error) {
    if (error.status === 401) {
      over(error.message);
    }
    throw error;
  }
}

async function signInByLink(identity, code) {
  const before = sessionStorage.getItem(AS);
  if (before && before !== identity && !confirm(`You are signed in as ${printable(before)} here. Sign in as ${identity}?`)) {
    return resume(before);
  }
  try {
    await patiently("POST", "", { identity, code });
    return use(identity);
  } catch (error) {
    return resume(identity, error.message); // the link was perhaps used here before
  }
}

/** Go on with the sign-in that this browser has. @param {string} [why] Why a link was of no use. */
async function resume(identity, why) {
  try {
    await patiently("POST", "/token", { identity });
    return use(identity);
  } catch (error) {
    return HAS_PROXY ? signInByProxy() : over(why ?? error.message);
  }
}

async function signInByProxy() {
  try {
    const { identity } = await patiently("POST", "", {});
    if (!new URLSearchParams(location.search).has(AGAIN)) {
      return use(identity);
    }
    say(`You are signed in as ${identity}. Close this window, and go on in the other one.`);
    others.postMessage(identity);
    await customElements.whenDefined("conferral-desk"); // it would be cut off while it loads
    close();
  } catch (error) {
    over(error.message);
  }
}

/** A proxy signs the agent in in a window of its own: this one may have a call. */
const AGAIN = "again";
const others = new BroadcastChannel("conferral-desk-sign-in");
again.href = `?${AGAIN}`;
others.onmessage = ({ data }) => data === sessionStorage.getItem(AS) && void resume(data);

/** Anyone can send a secret in an address, so none replaces what is in use. */
export async function begin(sent = "") {
  const secret = decoded(sent);
  const identity = new URLSearchParams(location.search).get("as") ?? "";
  if (/^[A-Za-z0-9_]{1,121}$/.test(identity)) {
    return secret ? signInByLink(identity, secret) : resume(identity);
  }
  if (!secret) {
    return HAS_PROXY ? signInByProxy() : say("Open the link that you got to sign in.");
  }
  const before = sessionStorage.getItem(AS);
  await (before ? resume(before) : null);
  if (before || (desk.token && !isRefused)) {
    return say("You stay signed in here. To use the link's token, open the link in a new tab.");
  }
  say();
  isRefused = false;
  desk.token = secret;
}

signOut.addEventListener("click", async () => {
  if (isInCall && !confirm("You are in a call. Signing out hangs up. Sign out?")) {
    return;
  }
  try {
    await ask("DELETE", "", { identity: sessionStorage.getItem(AS) });
  } catch (error) {
    if (error.type !== "unauthorized") {
      // Of a proxy: the sign-in goes on.
      say(`You are not signed out yet: ${error.message}. Try again.`, true);
      return;
    }
  }
  // The sign-in is over first, so that the call's end is a hang-up.
  sessionStorage.removeItem(AS);
  desk.token = "";
  desk.remove();
  isInCall = false;
  over(HAS_PROXY ? "the sign-in proxy may still know you" : "open a new link to sign in");
});
addEventListener("hashchange", () => {
  const secret = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  void (secret && begin(secret));
});
desk.addEventListener("desk-error", ({ detail }) => (isRefused ||= detail.about === "token"));
desk.addEventListener("desk-connected", () => (isInCall = true));
desk.addEventListener("desk-ended", () => (isInCall = false));
desk.addEventListener("desk-title", ({ detail }) => (document.title = detail.text ? `${detail.text} – ${TITLE}` : TITLE));
