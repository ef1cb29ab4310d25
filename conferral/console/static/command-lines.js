// Equivalent command lines: the CLI and curl.

import { hello } from "./store.js";

/** Refers to the token by its environment variable; shows it only if it is public, as in the demo. */
function authorization() {
  const token = hello.value.shown_token;
  return token ? `-H ${quoted(`Authorization: Bearer ${token}`)}` : '-H "Authorization: Bearer $CONFERRAL_API_TOKEN"';
}

/** Returns a URL of the control API; if the base URL is unknown, it refers to an environment variable. */
function address(path) {
  const base = hello.value.public_url;
  return base ? quoted(`${base}${path}`) : `"$CONFERRAL_PUBLIC_URL${path}"`;
}

/** Quotes a word for a shell if necessary. */
export function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * Returns the CLI command.
 *
 * @param {string} program How to call the CLI.
 * @param {Record<string, string>} fields The command's fields.
 * @param {object} button The command. One that hangs someone up asks for confirmation on a terminal.
 */
export function cliLine(program, fields, button) {
  const { type, session, ...others } = fields;
  const flags = button.fields.filter(({ kind }) => kind === "flag").map(({ name }) => name);
  const options = Object.entries(others).map(([name, value]) => {
    const option = `--${name.replaceAll("_", "-")}`;
    return flags.includes(name) ? option : `${option} ${quoted(value)}`;
  });
  return [program, type, quoted(session), ...options, ...(button.danger ? ["--yes"] : [])].join(" ");
}

/** Returns the curl command for the control API. */
export function curlLine(fields) {
  const { session, ...body } = fields;
  return [
    `curl ${address(`/sessions/${encodeURIComponent(session)}/commands`)}`,
    authorization(),
    "-H 'Content-Type: application/json'",
    `-d ${quoted(ascii(JSON.stringify(body)))}`,
  ].join(" \\\n  ");
}

/** Returns commands that read this session, with CLI and curl: the purpose and the line of each. */
export function readLines(program, session) {
  return [
    ["command line", `${program} show ${quoted(session)}`],
    ["curl", `curl ${address(`/sessions/${encodeURIComponent(session)}`)} ${authorization()}`],
  ];
}

/** JSON in ASCII, so that bidirectional characters can't reorder a terminal's line. */
function ascii(json) {
  return json.replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
