// The same command as a line to type: on the command line, and with curl.

import { printable } from "./shared/text.js";
import { hello } from "./store.js";

/** Commands that ask on a terminal before they hang anybody up. */
const ASKS = new Set(["end", "remove"]);
/** The token is taken from the environment and shown nowhere, but where it is everybody's, as the demo's is. */
function authorization() {
  const token = hello.value.shown_token;
  return token ? `-H ${quoted(`Authorization: Bearer ${token}`)}` : '-H "Authorization: Bearer $CONFERRAL_API_TOKEN"';
}

/** The control API's address of something; without a known one it is taken from the environment as well. */
function address(path) {
  const base = hello.value.public_url;
  return base ? quoted(`${base}${path}`) : `"$CONFERRAL_PUBLIC_URL${path}"`;
}

/** A word for a shell: quoted where it has to be. */
export function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * The command for a terminal.
 *
 * @param {string} program How the command line is called.
 * @param {Record<string, string>} fields As the command has them.
 */
export function cliLine(program, fields) {
  const { type, session, ...others } = fields;
  const options = Object.entries(others).map(([name, value]) => {
    const option = `--${name.replaceAll("_", "-")}`;
    return name === "confirm" ? option : `${option} ${quoted(value)}`;
  });
  return [program, type, quoted(session), ...options, ...(ASKS.has(type) ? ["--yes"] : [])].join(" ");
}

/** The request of the control API. */
export function curlLine(fields) {
  const { session, ...body } = fields;
  return [
    `curl ${address(`/sessions/${encodeURIComponent(session)}/commands`)}`,
    authorization(),
    "-H 'Content-Type: application/json'",
    `-d ${quoted(ascii(JSON.stringify(body)))}`,
  ].join(" \\\n  ");
}

/** How the same session is looked at on the command line and with curl: what each line is for, and the line. */
export function readLines(program, session) {
  return [
    ["command line", `${program} explain ${quoted(session)}`],
    ["curl", `curl ${address(`/sessions/${encodeURIComponent(session)}`)} ${authorization()}`],
  ];
}

/** How the list is had elsewhere; `filter` as of `arranging.filterOf`. */
export function listLines(program, filter) {
  const [state, ...others] = filter.states;
  const query = state && !others.length ? `?state=${state}` : "";
  const options = [query && `--state ${state}`, filter.ended && "--all"].filter(Boolean);
  return [
    ["command line", [program, "sessions", ...options].join(" ")],
    ["curl", `curl ${address(`/sessions${query}`)} ${authorization()}`],
  ];
}

/** How health is asked for elsewhere. */
export function healthLines(program) {
  return [
    ["command line", `${program} check`],
    ["curl", `curl ${address("/metrics")}`],
  ];
}

/**
 * How dead letters are looked at elsewhere, those with a reason or all; the control API has none. A reason that a
 * terminal would act upon is left out.
 */
export function deadLetterLines(program, reason) {
  const options = reason && printable(reason) === reason ? ["--reason", quoted(reason)] : [];
  return [["command line", [program, "dead", ...options].join(" ")]];
}

/** JSON in ASCII: nothing in it can turn a terminal's line around. */
function ascii(json) {
  return json.replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
