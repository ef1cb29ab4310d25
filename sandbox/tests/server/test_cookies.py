"""Cookies of webhooks, which keep a program's session."""

from aiohttp import web

from model_scenario import BUSINESS, CUSTOMER
from offhook import Sandbox
from offhook.cookies import KEPT_S, Cookies
from webhook_app import WebhookApp

FROM_ANN = (("From", CUSTOMER), ("To", BUSINESS))


def setting(cookie: str, twiml: str) -> web.Response:
    return web.Response(text=twiml, content_type="text/xml", headers={"Set-Cookie": cookie})


async def called(sandbox: Sandbox, caller: str) -> None:
    await sandbox.call_in(caller, BUSINESS)
    await sandbox.wait_until(lambda: not sandbox.live_calls())
    await sandbox.wait_until_idle()


async def test_requests_of_a_caller_have_the_cookies_that_earlier_responses_set(
    app: WebhookApp, sandbox: Sandbox
) -> None:
    app.on("/voice", setting("session=a1; Path=/; HttpOnly", "<Response><Redirect>/next</Redirect></Response>"))
    app.on("/next", setting("session=b2; Path=/", "<Response><Hangup/></Response>"))

    await called(sandbox, CUSTOMER)
    await called(sandbox, CUSTOMER)
    await called(sandbox, "+14155550177")

    def cookies(path: str) -> list[str | None]:
        return [asked.headers.get("Cookie") for asked in app.at(path)]

    assert cookies("/voice") == [None, "session=b2", None]
    assert cookies("/next") == ["session=a1"] * 3
    assert cookies("/status") == ["session=b2"] * 3


async def test_cookies_last_four_hours_after_the_last_one_set_and_only_where_they_are_for() -> None:
    cookies, given = Cookies(), web.Response()
    given.set_cookie("session", "a1", path="/voice")
    cookies.keep(FROM_ANN, "http://a.example/voice", given.cookies, 0.0)

    def of(url: str, now_s: float = 1.0) -> dict[str, str]:
        return cookies.header(FROM_ANN, url, now_s)

    assert of("http://a.example/voice/next", KEPT_S - 1) == {"Cookie": "session=a1"}
    assert of("http://a.example/voice", KEPT_S) == of("http://a.example/") == of("http://b.example/voice") == {}
