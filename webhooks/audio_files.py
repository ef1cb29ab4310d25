"""Our own audio for those who wait. Anybody may fetch it: Twilio does not sign such requests, and it is no secret.

The files are made by scripts/make_media.py.
"""

import hashlib
from importlib import resources

from aiohttp import hdrs, web

from conferral.statemachine.states import WaitAudio

#: Path of each tune's file.
PATHS = {WaitAudio.RINGBACK: "/media/ringback.wav", WaitAudio.MUSIC: "/media/music.wav"}

#: Source: Twilio docs, TwiML `<Play>`: audio is fetched again when its caching headers say so.
_CACHING = "public, max-age=86400"


class AudioFile:
    """Answers for one file."""

    def __init__(self, path: str) -> None:
        """Reads the file, which ships with the package.

        Args:
            path: One of `PATHS`.
        """
        self._body = (resources.files("conferral.webhooks") / path.removeprefix("/")).read_bytes()
        self._tag = hashlib.blake2b(self._body, digest_size=8).hexdigest()

    async def send(self, request: web.Request) -> web.Response:
        """The file, or that it has not changed."""
        provided_tag = {tag.value for tag in request.if_none_match or ()}
        response = web.Response(status=304) if self._tag in provided_tag else web.Response(body=self._body)
        response.etag = self._tag
        response.headers[hdrs.CACHE_CONTROL] = _CACHING
        if response.status == 200:
            response.content_type = "audio/wav"
        return response
