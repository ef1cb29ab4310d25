"""What a program's typed tests do; test_types.py has mypy read it, where each unneeded `type: ignore` is an error."""

from typing import Any

from offhook import Sandbox
from offhook.testing import Serve, TwilioSandbox


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({})


def test_right(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    url: str = serve(app) or serve(asgi_app)
    twilio_sandbox.add_number("+12025550100", voice_url=url, status_callback=url, voice_method="GET")
    ann = twilio_sandbox.phones["+12025550123"]
    ann.script(answer_after_s=2, keys="1", speaks=["", "Hello"], outcome="answer", kind="person", times=1)
    heard: bool = ann.call("+12025550100").was_told("Hello")
    assert heard


def test_wrong(twilio_sandbox: TwilioSandbox, serve: Serve) -> None:
    ann = twilio_sandbox.phones["+12025550123"]
    ann.script(answers_after_s=2)  # type: ignore[call-arg]
    ann.script(answer_after_s="2")  # type: ignore[arg-type]
    ann.script(outcome="away")  # type: ignore[arg-type]
    ann.script(keys=1)  # type: ignore[arg-type]
    twilio_sandbox.add_number("+12025550100", voice_uri="")  # type: ignore[call-arg]
    twilio_sandbox.add_number("+12025550100", status_callback=1)  # type: ignore[arg-type]
    serve("app:app")  # type: ignore[arg-type]


def wrong_without_pytest(twilio: Sandbox) -> None:
    twilio.phone("client:alice").script(answers=True)  # type: ignore[call-arg]
    twilio.add_number("+12025550100", url="")  # type: ignore[call-arg]
