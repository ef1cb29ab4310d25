"""Control the sandbox's phones: call, hang up, read who hears whom."""

from collections.abc import Mapping
from contextlib import suppress
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
        await self._request("POST", "/sandbox/phones", {"address": address, **does})

    async def call(self, caller: str, number: str) -> str:
        """Call a number from a phone; return the call's SID."""
        return str((await self._request("POST", "/sandbox/calls", {"from": caller, "to": number}))["sid"])

    async def browser_call(self, identity: str, to: str, **params: str) -> str:
        """Call from a browser through the TwiML app; return the call's SID."""
        body = {"identity": identity, "to": to, "params": params}
        return str((await self._request("POST", "/sandbox/browser-calls", body))["sid"])

    async def set_number(self, number: str, name: str, webhooks_url: str, route: str) -> None:
        """Configure a number in the account."""
        urls = {
            "voice_url": f"{webhooks_url}{route}",
            "voice_fallback_url": f"{webhooks_url}/voice/fallback",
            "status_callback": f"{webhooks_url}/voice/status",
        }
        await self._request("POST", "/sandbox/numbers", {"number": number, "name": name, **urls})

    async def notice(self, text: str) -> None:
        """Show a line at the top of the phones' page."""
        await self._request("POST", "/sandbox/notice", {"text": text})

    async def hang_up_all(self) -> None:
        """Hang up every call."""
        for call in (await self._request("GET", "/sandbox/calls?live=true"))["calls"]:
            with suppress(CommandNotDoneError):  # it has already ended
                await self.hang_up(call["sid"])

    async def hang_up(self, call_sid: str) -> None:
        """Hang up one call."""
        await self._request("POST", f"/sandbox/calls/{call_sid}/hangup")

    async def answer(self, call_sid: str) -> None:
        """Answer a ringing phone."""
        await self._request("POST", f"/sandbox/calls/{call_sid}/answer")

    async def press(self, call_sid: str, key: str) -> None:
        """Press a key."""
        await self._request("POST", f"/sandbox/calls/{call_sid}/press", {"digits": key})

    async def live_calls(self) -> int:
        """Return the number of live calls."""
        return len((await self._request("GET", "/sandbox/calls?live=true"))["calls"])

    async def recorded_s(self, people: Mapping[str, str], since_s: float) -> dict[str, float]:
        """Return recorded seconds by name since a time; `people` are by call SID."""
        now_s = await self.now_s()
        seconds = dict.fromkeys(people.values(), 0.0)
        for recording in (await self._request("GET", "/sandbox/recordings"))["recordings"]:
            for span in recording["spans"]:
                lasted_s = (span["until_s"] or now_s) - max(span["since_s"], since_s)
                for name in (people[sid] for sid in span["voices"] if sid in people):
                    seconds[name] += max(0.0, lasted_s)
        return seconds

    async def now_s(self) -> float:
        """Return the sandbox's time, in seconds since 1970."""
        return float((await self._request("GET", "/sandbox/hearing"))["now_s"])

    async def heard_now(self, people: Mapping[str, str]) -> dict[str, str]:
        """Return what each connected person hears now, by name."""
        hearing = (await self._request("GET", "/sandbox/hearing"))["hearing"]
        last = {people[sid]: intervals[-1] for sid, intervals in hearing.items() if sid in people and intervals}
        return {name: _heard_text(it, people) for name, it in last.items() if it["until_s"] is None}

    async def heard_no_one_s(self, call_sid: str, since_s: float, until_s: float) -> float:
        """Return how long a party heard silence, music, or ringing, in seconds."""
        intervals = (await self._request("GET", f"/sandbox/hearing?call={call_sid}"))["hearing"][call_sid]
        return sum(
            max(0.0, min(float(it["until_s"] or until_s), until_s) - max(float(it["since_s"]), since_s))
            for it in intervals
            if it["kind"] != "parties"
        )

    async def _request(self, method: str, path: str, body: object = None) -> Any:
        try:
            async with self._http.request(method, self._url + path, json=body) as response:
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
