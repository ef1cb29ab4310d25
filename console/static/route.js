// Where somebody is, as the address bar has it: `#session/CA…`, `#sessions?state=bridged&find=23`.

import { signal } from "@preact/signals";

import { keep, kept } from "./store.js";

const VIEWS = ["sessions", "agents", "session", "health", "dead"];

/** What is looked at: `view`, `id` of a session, and the choices made there. */
export const route = signal(read());

addEventListener("hashchange", () => {
  route.value = read();
});

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, id = ""] = path.split("/", 2);
  const view = VIEWS.includes(name) ? name : "sessions";
  // Without anything said in the address, the list is as it was left last.
  const chosen = view === "sessions" && !location.hash.includes("?") ? (kept("list") ?? "") : query;
  return { view, id: decoded(id), choices: new URLSearchParams(chosen) };
}

/** What stands in an address, without its percent signs. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that nobody has encoded
  }
}

/**
 * The address of a view, for links.
 *
 * @param {string} view
 * @param {string} [id]
 * @param {Record<string, string>} [choices] Those that are empty are left out.
 */
export function to(view, id = "", choices = null) {
  const path = `#${view}${id ? `/${encodeURIComponent(id)}` : ""}`;
  if (choices === null) {
    return path;
  }
  return `${path}?${new URLSearchParams(Object.entries(choices).filter(([, value]) => value))}`;
}

/** Goes somewhere; the way back leads here. */
export function go(view, id = "", choices = null) {
  location.hash = to(view, id, choices);
}

/**
 * Changes choices of the view that is shown, without a step for the way back.
 *
 * @param {Record<string, string>} changes Empty ones are taken away.
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
