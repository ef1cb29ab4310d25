"""The fixture `serve`, with the smallest apps."""

import logging
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
from aiohttp import web

from offhook.testing import Serve, TwilioSandbox
from offhook.testing.app_server import served

NUMBER, CALLER = "+14155550100", "+12025550123"
HELLO = b"<Response><Say>Hello, Ann</Say><Hangup/></Response>"
XML = [("Content-Type", "text/xml")]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", XML)
    return [HELLO]


class AsgiApp:
    """An app with a start and an end, which records them."""

    def __init__(self, *, starts: bool = True) -> None:
        self.starts = starts
        self.seen: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.seen.append((await receive())["type"])
            await send(
                {"type": f"lifespan.startup.{'complete' if self.starts else 'failed'}", "message": "no database"}
            )
            self.seen.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.seen.append(scope["path"])
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/xml")]})
        await send({"type": "http.response.body", "body": HELLO})


def is_greeted(sandbox: TwilioSandbox, url: str) -> bool:
    sandbox.add_number(NUMBER, voice_url=f"{url}/voice")
    call = sandbox.phones[CALLER].call(NUMBER)
    sandbox.wait_until(lambda: call.status == "completed")
    return call.was_told("Hello, Ann")


def test_wsgi_app_answers(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    assert is_greeted(twilio_sandbox, serve(wsgi_app))


def test_asgi_app_answers(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    app = AsgiApp()
    assert is_greeted(twilio_sandbox, serve(app))
    assert app.seen == ["lifespan.startup", "/voice"]


async def test_asgi_app_answers_a_coroutine(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    twilio_sandbox.add_number(NUMBER, voice_url=f"{serve(AsgiApp())}/voice")
    call = twilio_sandbox.phones[CALLER].call(NUMBER)
    await twilio_sandbox.wait_until(lambda: call.was_told("Hello, Ann"))


@pytest.fixture
def app_that_has_ended(request: pytest.FixtureRequest) -> Iterator[AsgiApp]:
    app = AsgiApp()
    yield app
    assert app.seen == ["lifespan.startup", "/voice", "lifespan.shutdown"]


def test_asgi_app_ends_with_the_test(app_that_has_ended: AsgiApp, twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    assert is_greeted(twilio_sandbox, serve(app_that_has_ended))


def test_several_apps_have_their_own_urls(serve: Serve) -> None:
    first, second = serve(AsgiApp()), serve(AsgiApp())
    assert first != second
    for url in (first, second):
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == HELLO


@pytest.mark.parametrize("app", [wsgi_app, AsgiApp()], ids=["wsgi", "asgi"])
def test_app_starts_and_ends_while_a_test_freezes_time(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = time.time()
    for name in ("time", "monotonic", "perf_counter"):  # as freezegun does
        monkeypatch.setattr(time, name, lambda: now_s)
    with served(app) as url, urllib.request.urlopen(url, b"Digits=1") as answer:
        assert answer.read() == HELLO


def test_app_that_does_not_start_is_refused(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="does not start; the log says why"):
        serve(AsgiApp(starts=False))
    assert "no database" in caplog.text


def test_traceback_of_an_app_is_in_the_log(
    twilio_sandbox: TwilioSandbox, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("no such menu")

    twilio_sandbox.expect_alerts(11200)
    twilio_sandbox.add_number(NUMBER, voice_url=f"{serve(broken)}/voice")
    call = twilio_sandbox.phones[CALLER].call(NUMBER)
    twilio_sandbox.wait_until(lambda: not call.is_live)
    with caplog.at_level(logging.ERROR):
        assert "no such menu" in caplog.text


@pytest.mark.parametrize("not_an_app", ["app:app", web.Application(), lambda request: None])
def test_what_is_no_app_is_refused(serve: Serve, not_an_app: Any) -> None:
    with pytest.raises(TypeError, match="serve takes a WSGI or an ASGI app, not"):
        serve(not_an_app)


def test_asgi_app_without_uvicorn_names_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match="pip install uvicorn"):
        serve(AsgiApp())
