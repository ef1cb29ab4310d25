// Routing by the URL's hash: `#session/CA…`, `#sessions?state=bridged&find=23`.

import { signal } from "@preact/signals";

import { keep, kept } from "./store.js";

const VIEWS = ["sessions", "agents", "session", "report", "health", "dead"];

/** The current route: `view`, `id` of a session, its parameters, and those of the list, which may be next to it. */
export const route = signal(read());

const wide = matchMedia("(min-width: 1100px)");
/** Whether the list stays next to an open call; the style sheet has the same width. */
export const isSplit = signal(wide.matches);
wide.addEventListener("change", () => {
  isSplit.value = wide.matches;
});

addEventListener("hashchange", () => {
  route.value = read();
});

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, id = ""] = path.split("/", 2);
  const view = VIEWS.includes(name) ? name : "sessions";
  // Without parameters of its own, the list keeps its last ones.
  if (name === "sessions" && location.hash.includes("?")) {
    keep("list", query);
  }
  const list = new URLSearchParams(kept("list") ?? "");
  return { view, id: decoded(id), choices: view === "sessions" ? list : new URLSearchParams(query), list };
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
  const address = to(view, id, { ...Object.fromEntries(choices), ...changes });
  history.replaceState(null, "", address);
  route.value = read();
}

/** Changes the list's parameters, be it alone or next to a call. */
export function chooseList(changes) {
  if (route.value.view === "sessions") {
    choose(changes);
  } else {
    keep("list", to("", "", { ...Object.fromEntries(route.value.list), ...changes }).split("?")[1]);
    route.value = read();
  }
}
