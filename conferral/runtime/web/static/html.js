// htm bound to preact, imported by relative URLs: a page of another origin that embeds the desk has no import map.

import htm from "./vendor/htm.mjs";
import { h } from "./vendor/preact.mjs";

export const html = htm.bind(h);
