// The page around the desk: it takes a token, and its title says who calls.

import { printable } from "./shared/text.js";

const desk = document.querySelector("conferral-desk");
const signIn = document.getElementById("sign-in");
const kept = document.getElementById("kept");
const TITLE = document.title;

/**
 * In the demo, the address brings a token. It must not stay there, or in the history.
 *
 * Anyone can send a link: it doesn't replace a token in use.
 */
function takeToken(isSignedIn) {
  const token = location.hash.slice(1);
  kept.hidden = !(token && isSignedIn);
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  if (token && !isSignedIn) {
    desk.token = decodeURIComponent(token);
  }
  return isSignedIn || Boolean(token);
}

signIn.addEventListener("submit", (event) => {
  event.preventDefault();
  desk.token = new FormData(signIn).get("token").trim();
  signIn.reset();
  signIn.hidden = true;
});
addEventListener("hashchange", () => (signIn.hidden = takeToken(signIn.hidden)));
desk.addEventListener("desk-error", ({ detail }) => {
  if (detail.about === "token") {
    signIn.hidden = false; // a call goes on meanwhile
  }
});
desk.addEventListener("desk-incoming", ({ detail }) => {
  document.title = printable(`Incoming call${detail.ref ? `: ${detail.ref}` : ""} – ${TITLE}`);
});
desk.addEventListener("desk-connected", () => (document.title = `On a call – ${TITLE}`));
desk.addEventListener("desk-ended", () => (document.title = TITLE));
signIn.hidden = takeToken(false);
