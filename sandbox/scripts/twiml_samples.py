"""Run Twilio's published TwiML samples, and count those without an alert.

    python sandbox/scripts/twiml_samples.py PATH [COMMIT]

PATH is a clone of github.com/TwilioDevEd/api-snippets. Each sample answers one call, in a sandbox of its own. Every URL
that a sample names leads to a small application, and its caller IDs are the account's. Dialed phones answer; the caller
presses 1, and says a word. Samples are read from Git; nothing of them is kept.
"""

import asyncio
import io
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from aiohttp import web

from offhook import NUMBER, Sandbox
from offhook.model.messages import DebuggerEntry

FOLDER, SUFFIX = "twiml/voice", ".twiml"
CALLER = "+12025550123"
SPEED = 100.0
ENDS_WITHIN_S = 2.0  #: Real seconds; then all calls are hung up.
CALLER_ID = re.compile(r"callerId=\"(\+\d+)\"")
ORIGIN = re.compile(r"https?://[^/\s\"'<>?]+")
SOUND = re.compile(r"\.(mp3|wav|ogg|aiff?)\b|/cowbell", re.IGNORECASE)
SILENCE = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0"


def read_samples(path: str, commit: str) -> Iterator[tuple[str, str]]:
    """Yield each sample's name and text."""
    archived = subprocess.run(["git", "-C", path, "archive", commit, FOLDER], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archived)) as archive:
        for member in archive:
            if member.name.endswith(SUFFIX) and (file := archive.extractfile(member)) is not None:
                yield member.name, file.read().decode()


class SampleApp:
    """Answers the first request with a sample, others with an empty document."""

    sample = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a webhook request, or with silence where a sound is named."""
        if SOUND.search(request.path):
            return web.Response(body=SILENCE, content_type="audio/wav")
        text = self.sample if request.path == "/sample" else "<Response/>"
        return web.Response(text=text, content_type="text/xml")


async def alerts_of(text: str, app: SampleApp, app_url: str) -> list[DebuggerEntry]:
    """Return what the debugger has once a call with this sample has ended."""
    app.sample = text
    origins = {it for it in ORIGIN.findall(text) if "twilio.com" not in it}
    async with Sandbox(speed=SPEED, unmodeled="error", maps=dict.fromkeys(origins, app_url)) as twilio:
        twilio.add_number(NUMBER, voice_url=f"{app_url}/sample")
        for number in CALLER_ID.findall(text):
            twilio.add_number(number)
        twilio.phone(CALLER).script(keys=["1"] * 9, speaks=["Hello"] * 9)
        await twilio.call_in(CALLER, NUMBER)

        def has_ended() -> bool:
            for call in twilio.live_calls():
                if call.status == "ringing" and call.direction != "inbound":
                    call.answer()
            return not twilio.live_calls()

        with suppress(TimeoutError):
            await twilio.wait_until(has_ended, ENDS_WITHIN_S)
        while calls := twilio.live_calls():
            calls[0].hang_up()
        await twilio.wait_until_idle()
        return list(twilio.request_log.debugger)


async def run(samples: list[tuple[str, str]]) -> int:
    """Run the samples, print what has an alert, and the share that has none."""
    app, application = SampleApp(), web.Application()
    application.router.add_route("*", "/{tail:.*}", app.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kinds: Counter[str] = Counter()
    quiet = warned = 0
    for name, text in samples:
        alerts = await alerts_of(text, app, f"http://127.0.0.1:{runner.addresses[0][1]}")
        quiet += not alerts
        warned += bool(alerts) and all(it.level == "warning" for it in alerts)
        kinds.update({f"{it.level}: {ORIGIN.sub('', it.message)}" for it in alerts})
        if alerts:
            print(f"{name.removeprefix(FOLDER + '/')}: {alerts[0].message}")
    await runner.cleanup()
    print(*(f"{count:4}  {kind}" for kind, count in kinds.most_common(20)), sep="\n")
    print(f"{quiet} of {len(samples)} samples run without an alert, {warned} more with warnings alone")
    return 0 if samples else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(run([*read_samples(sys.argv[1], (sys.argv[2:] or ["HEAD"])[0])])))
