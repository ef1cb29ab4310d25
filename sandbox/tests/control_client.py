"""Talks to the sandbox's own routes as another process would."""

from __future__ import annotations

from typing import Any

import aiohttp

API_KEY = ("SK" + "1" * 32, "secret-of-the-api-key-in-these-tests")  #: Of the sandbox that they share.


class Control:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        async with self.session.post(f"{self.url}/sandbox{path}", json=body) as answer:
            return answer.status, await answer.json()

    async def delete(self, path: str) -> dict[str, Any]:
        async with self.session.delete(f"{self.url}/sandbox{path}") as answer:
            return await answer.json()

    async def get(self, path: str) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/sandbox{path}") as answer:
            return await answer.json()
