// The server's time, at the earliest: what it sends names a time that had begun then.

/** Times that count (count): a server whose clock was set back is believed soon. */
const KEPT_MAX = 8;

/** How far each time was ahead of this page's own clock, newest last. */
let ahead = [];

/** Note a time of the server's. @param {string | null} time As in the header `Date`, or ISO 8601. */
export function noteServerTime(time) {
  const sentMs = Date.parse(time ?? "");
  if (Number.isFinite(sentMs)) {
    ahead = [...ahead, sentMs - performance.now()].slice(-KEPT_MAX);
  }
}

/** The earliest time that the server's clock may show now, Unix milliseconds. Before the first one, this machine's. */
export const earliestMs = () => (ahead.length ? Math.max(...ahead) + performance.now() : Date.now());
