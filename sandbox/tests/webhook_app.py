"""A small application on loopback that the sandbox can call, which remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from aiohttp import web
from twilio.request_validator import RequestValidator

from offhook import AUTH_TOKEN


@dataclass
class Asked:
    path: str
    method: str
    raw_url: str
    headers: dict[str, str]
    text: str

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.text, keep_blank_values=True))

    @property
    def is_signed(self) -> bool:
        """Whether Twilio's own library finds the signature right."""
        form = self.params if self.method == "POST" else {}
        return RequestValidator(AUTH_TOKEN).validate(self.raw_url, form, self.headers["X-Twilio-Signature"])


@dataclass
class WebhookApp:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[web.Response | str | Callable[[], web.Response]]] = field(default_factory=dict)

    def on(self, path: str, *answers: web.Response | str | Callable[[], web.Response]) -> None:
        """What to answer there, one after the other; the last one stays."""
        self.answers[path] = list(answers)

    def at(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def events(self, name: str = "StatusCallbackEvent") -> list[str]:
        return [asked.params[name] for asked in self.asked if name in asked.params]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text() if request.method == "POST" else request.query_string
        raw_url = self.url + request.raw_path
        self.asked.append(Asked(request.path, request.method, raw_url, dict(request.headers), text))
        answers = self.answers.get(request.path, [])
        answer = answers.pop(0) if len(answers) > 1 else answers[0] if answers else ""
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="text/xml")
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return answer()
