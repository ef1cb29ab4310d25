"""Control the sandbox's phones, and read who hears whom."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from conferral.errors import CommandNotDoneError
from conferral.operations import wording

ScriptValue = float | str | list[str]


class DemoPhones:
    """Client for the sandbox's control routes."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def script(self, address: str, **does: ScriptValue) -> None:
        """Script a phone for every ring, or for `times` rings.

        The keywords are the sandbox's. With `by_hand`, the user of the page plays it from its next call on.
        """
        await self._request("POST", "/phones", {"address": address, **does})

    async def call(self, caller: str, number: str) -> str:
        """Call a number from a phone; return the call's SID."""
        return str((await self._request("POST", "/calls", {"from": caller, "to": number}))["sid"])

    async def set_number(self, number: str, name: str, webhooks_url: str) -> None:
        """Configure a number in the account."""
        urls = {
            "voice_url": f"{webhooks_url}/voice/inbound",
            "voice_fallback_url": f"{webhooks_url}/voice/fallback",
            "status_callback": f"{webhooks_url}/voice/status",
        }
        await self._request("POST", "/numbers", {"number": number, "name": name, **urls})

    async def act(self, call_sid: str, action: str, **body: str) -> None:
        """Let a phone `hangup`, or `press` `digits`."""
        await self._request("POST", f"/calls/{call_sid}/{action}", body)

    async def live_calls(self) -> int:
        """Return the number of live calls."""
        return len((await self._request("GET", "/calls?live=true"))["calls"])

    async def now_s(self) -> float:
        """Return the sandbox's time, in seconds since 1970."""
        return float((await self._request("GET", "/hearing"))["now_s"])

    async def heard_now(self, people: Mapping[str, str]) -> dict[str, str]:
        """Return what each connected person hears now, by name."""
        hearing = (await self._request("GET", "/hearing"))["hearing"]
        last = {people[sid]: intervals[-1] for sid, intervals in hearing.items() if sid in people and intervals}
        return {name: _heard_text(it, people) for name, it in last.items() if it["until_s"] is None}

    async def heard_no_one_s(self, call_sid: str, since_s: float) -> float:
        """Return how long a party has heard no one since a time, in seconds."""
        answer = await self._request("GET", f"/hearing?call={call_sid}")
        return sum(
            max(0.0, float(it["until_s"] or answer["now_s"]) - max(float(it["since_s"]), since_s))
            for it in answer["hearing"][call_sid]
            if it["kind"] != "parties"
        )

    async def _request(self, method: str, path: str, body: object = None) -> Any:
        try:
            async with self._http.request(method, f"{self._url}/sandbox{path}", json=body) as response:
                answer = await response.json(content_type=None)
        except aiohttp.ClientError as error:
            raise CommandNotDoneError("the sandbox does not answer") from error
        if response.status >= 400:
            raise CommandNotDoneError(f"the sandbox refused {method} {path}: {answer}")
        return answer


def _heard_text(interval: Mapping[str, Any], people: Mapping[str, str]) -> str:
    match interval["kind"]:
        case "parties":
            others = sorted(people.get(sid, "an unknown party") for sid in interval["parties"])
            return wording.join_names([*others, "a phone ringing"] if interval["ringing"] else others)
        case "speech":
            return f'"{interval["what"]}"'
        case "music":
            return "a phone ringing" if "ringback" in interval["what"].rpartition("/")[2] else "music"
        case "ringback":
            return "a phone ringing"
        case _:
            return "silence"
