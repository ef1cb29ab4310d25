"""Two aiohttp servers that take a callback: one does nothing, one what a good sample does.

`python -m benchmarks.peers.aiohttp_servers bare|idiomatic PORT`, with REDIS_URL, AUTH_TOKEN, and PUBLIC_URL.
"""

import os
import sys

import uvloop
from aiohttp import web
from redis.asyncio import Redis
from twilio.request_validator import RequestValidator


async def nothing(_request: web.Request) -> web.Response:
    """Answer at once."""
    return web.Response(status=204)


def idiomatic() -> "web.Handler":
    """Return a handler that checks the signature with Twilio's library, and stores the form."""
    validator = RequestValidator(os.environ["AUTH_TOKEN"])
    redis = Redis.from_url(os.environ["REDIS_URL"])

    async def store(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        signature = request.headers.get("X-Twilio-Signature", "")
        if not validator.validate(os.environ["PUBLIC_URL"] + request.path_qs, form, signature):
            raise web.HTTPForbidden
        await redis.xadd("callbacks", form)
        return web.Response(status=204)

    return store


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/healthz", nothing)
    answer = nothing if sys.argv[1] == "bare" else idiomatic()
    for path in ("/callbacks/call", "/callbacks/conference"):
        app.router.add_post(path, answer)
    loop = uvloop.new_event_loop()  # as Conferral's processes
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=None, loop=loop)
