"""Cookies that webhooks set: sent back as a browser does.

Source: Twilio docs, TwiML for Voice (Twilio accepts cookies like a browser); Twilio's help, How do Twilio cookies work?
(by the pair of From and To, for four hours), of which both products get the same here.
"""

from http.cookies import SimpleCookie

import aiohttp
from yarl import URL  # noqa: TID251  # your own program's URLs

from offhook.model.messages import Params

KEPT_S = 4 * 3600.0


class Cookies:
    """The cookies of each pair of From and To."""

    def __init__(self) -> None:
        self._jars: dict[tuple[str, str], tuple[float, aiohttp.CookieJar]] = {}

    def header(self, params: Params, url: str, now_s: float) -> dict[str, str]:
        """Return the `Cookie` of a request, if it has any."""
        since_s, jar = self._jars.get(_pair(params), (0.0, None))
        if jar is None or now_s - since_s >= KEPT_S or not (found := jar.filter_cookies(URL(url))):
            return {}
        return {"Cookie": "; ".join(f"{it.key}={it.coded_value}" for it in found.values())}

    def keep(self, params: Params, url: str, given: SimpleCookie, now_s: float) -> None:
        """Keep what a response sets."""
        pair = _pair(params)
        if not given or not all(pair):
            return
        since_s, jar = self._jars.get(pair, (now_s, None))
        if jar is None or now_s - since_s >= KEPT_S:
            jar = aiohttp.CookieJar(unsafe=True)  # also of addresses such as 127.0.0.1
        jar.update_cookies(given, URL(url))
        self._jars[pair] = now_s, jar

    def clear(self) -> None:
        """Forget all."""
        self._jars.clear()


def _pair(params: Params) -> tuple[str, str]:
    given = dict(params)
    return given.get("From", ""), given.get("To", "")
