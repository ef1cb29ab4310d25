"""Twilio's client over an HTTP client that answers by a script, and the shapes of Twilio's answers."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from conferral.runtime.errors import ProviderError
from conferral.statemachine.effects import ReadCalls, RedirectCall
from conferral.statemachine.events import CallsRead
from conferral.telephony import request_context
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.parameters import CallSetup
from conferral.telephony.twilio_api import TwilioApi
from conferral.telephony.twiml import TwimlBuilder
from tests.telephony import openapi_fields

ACCOUNT = "AC" + "a" * 32
BASE = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/"

Answer = dict[str, Any] | ProviderError


class ScriptedHttp(AsyncHttpClient):
    """Answers by method and path; of conferences, those with the `Status` of the request.

    A request that is not in the script is a failure of the test, and so is a field that Twilio does not describe.
    """

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        super().__init__(logging.getLogger("twilio"), True)
        self.answers = answers
        #: What is answered once, before that.
        self.first_answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, Mapping[str, object]]] = []
        self.labels: set[str] = set()

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        **_others: object,
    ) -> Response:
        name = f"{method} {uri.removeprefix(BASE).removesuffix('.json')}"
        self.requests.append((name, params or data or {}))
        self.labels.add(request_context.request_label())
        openapi_fields.check(name, data or {})
        answer = self.first_answers.pop(name, None) or self.answers[name]
        if isinstance(answer, ProviderError):
            raise answer
        if "conferences" in answer and (status := (params or {}).get("Status")):
            answer = answer | {"conferences": [one for one in answer["conferences"] if one["status"] == status]}
        return Response(200, msgspec.json.encode(answer).decode())


class Documents(TwimlBuilder):
    """Short documents."""

    def join_redirected(self, effect: RedirectCall) -> str:
        return f"<Join>{effect.label}</Join>"


_URLS = CallbackUrls("https://example.com")
SETUP = CallSetup(_URLS, Documents(_URLS, language="en-US", voice=None), own_number="+15550100000")
FALLBACK = {"FallbackUrl": _URLS.fallback(), "FallbackMethod": "POST"}


def calls_with(answers: Mapping[str, Answer], setup: CallSetup = SETUP) -> tuple[TwilioApi, ScriptedHttp]:
    http = ScriptedHttp(answers)
    client = Client(username=ACCOUNT, password="token", account_sid=ACCOUNT, http_client=http)
    return TwilioApi(client, setup), http


async def read_with(answers: Mapping[str, Answer], effect: ReadCalls) -> tuple[CallsRead, ScriptedHttp]:
    """What a read finds, and what was asked for it."""
    calls, http = calls_with(answers)
    read = await calls.execute(effect)
    assert isinstance(read, CallsRead)
    return read, http


def call(sid: str, status: str, to: str = "+15550100001", created: str = "") -> dict[str, Any]:
    return {"sid": sid, "status": status, "to": to, "date_created": created or None}


def page(kind: str, *records: dict[str, Any]) -> dict[str, Any]:
    return {kind: list(records), "page": 0, "page_size": 50, "next_page_uri": None, "uri": "/x"}
