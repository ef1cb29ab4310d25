"""Audio files for callers who wait, made by scripts/make_media.py."""

import hashlib
from importlib import resources

from aiohttp import hdrs, web

from conferral.statemachine.states import WaitAudio

#: Path of each file. Public: Twilio does not sign these requests, and the files are not secret.
PATHS = {WaitAudio.RINGBACK: "/media/ringback.wav", WaitAudio.MUSIC: "/media/music.wav"}

#: Source: Twilio docs, TwiML `<Play>`: Twilio refetches audio according to its caching headers.
_CACHING = "public, max-age=86400"


class AudioFile:
    """Serves one file."""

    def __init__(self, path: str) -> None:
        self._body = (resources.files("conferral.webhooks") / path.removeprefix("/")).read_bytes()
        self._tag = hashlib.blake2b(self._body, digest_size=8).hexdigest()

    async def send(self, request: web.Request) -> web.Response:
        """Return the file, or 304 if it has not changed."""
        cached_tags = {tag.value for tag in request.if_none_match or ()}
        response = web.Response(status=304) if self._tag in cached_tags else web.Response(body=self._body)
        response.etag = self._tag
        response.headers[hdrs.CACHE_CONTROL] = _CACHING
        if response.status == 200:
            response.content_type = "audio/wav"
        return response
