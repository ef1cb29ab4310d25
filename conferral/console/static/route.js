// Routing by the URL's hash: `#session/CA…`, `#sessions?state=bridged&find=23`.

import { signal } from "@preact/signals";

import { keep, kept } from "./store.js";

const VIEWS = ["sessions", "agents", "session", "health", "dead"];

/** The current route: `view`, `id` of a session, and the parameters. */
export const route = signal(read());

addEventListener("hashchange", () => {
  route.value = read();
});

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, id = ""] = path.split("/", 2);
  const view = VIEWS.includes(name) ? name : "sessions";
  // Without parameters, restore the list's last ones.
  const chosen = view === "sessions" && !location.hash.includes("?") ? (kept("list") ?? "") : query;
  return { view, id: decoded(id), choices: new URLSearchParams(chosen) };
}

/** Returns percent-decoded text. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a literal percent sign
  }
}

/**
 * Returns a view's URL, for links.
 *
 * @param {string} view
 * @param {string} [id]
 * @param {Record<string, string>} [choices] Parameters; empty ones are left out.
 */
export function to(view, id = "", choices = null) {
  const path = `#${view}${id ? `/${encodeURIComponent(id)}` : ""}`;
  if (choices === null) {
    return path;
  }
  return `${path}?${new URLSearchParams(Object.entries(choices).filter(([, value]) => value))}`;
}

/** Navigates immediately, adding a history entry: the browser's event comes only after other input. */
export function go(view, id = "", choices = null) {
  location.hash = to(view, id, choices);
  route.value = read();
}

/**
 * Changes parameters of the current view, without a history entry.
 *
 * @param {Record<string, string>} changes Empty ones are removed.
 */
export function choose(changes) {
  const { view, id, choices } = route.value;
  const all = { ...Object.fromEntries(choices), ...changes };
  const address = to(view, id, all);
  history.replaceState(null, "", address);
  if (view === "sessions") {
    keep("list", address.split("?")[1] ?? "");
  }
  route.value = read();
}
