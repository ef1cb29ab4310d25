"""Our own audio: fetched by anyone, cached, and made by the script that says how."""

import io
import wave
from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from conferral.webhooks.wait_url import PATHS
from tests.docs.generated import load_script
from tests.webhooks.webhook_helpers import PUBLIC_URL

FILES = sorted(PATHS.values())
MEDIA = Path(__file__).parents[2] / "webhooks" / "media"
RATE_HZ = 8_000


def samples(body):
    with wave.open(io.BytesIO(body)) as audio:
        assert (audio.getframerate(), audio.getnchannels(), audio.getsampwidth()) == (RATE_HZ, 1, 2)
        return array("h", audio.readframes(audio.getnframes()))


def loudness(part):
    return max((abs(value) for value in part), default=0)


@pytest.mark.parametrize("prefix", ["", "/conferral"])
@pytest.mark.parametrize("path", FILES)
async def test_audio_files_are_public_and_cacheable(open_client, prefix, path):
    client = await open_client(CONFERRAL_PUBLIC_URL=PUBLIC_URL + prefix)

    async with client.get(prefix + path) as response:
        body = await response.read()
        assert (response.status, response.content_type) == (200, "audio/wav")
        assert response.headers["Cache-Control"] == "public, max-age=86400"
        tag = response.headers["ETag"]
    async with client.get(prefix + path, headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", tag)
    async with client.get(prefix + path, headers={"If-None-Match": '"of-yesterday"'}) as response:
        assert (response.status, await response.read()) == (200, body)
    assert body == (MEDIA / Path(path).name).read_bytes()


async def test_there_is_nothing_else_to_fetch(client):
    for path in ("/media/", "/media/../app.py", "/media/%2e%2e/app.py", "/media/other.wav"):
        async with client.get(path) as response:
            assert response.status == 404


def test_the_files_are_those_that_the_script_makes():
    made = {name: make() for name, make in load_script("make_media").FILES.items()}

    assert made == {path.name: path.read_bytes() for path in MEDIA.iterdir()}
    assert {f"/media/{name}" for name in made} == set(FILES)


def test_the_ring_back_sounds_for_two_seconds_and_is_silent_for_four():
    tone = samples((MEDIA / "ringback.wav").read_bytes())

    assert len(tone) == 6 * RATE_HZ
    assert loudness(tone[: 2 * RATE_HZ]) > 3_000
    assert loudness(tone[2 * RATE_HZ :]) == 0


def test_the_music_is_quiet_never_stops_and_has_no_seam():
    music = samples((MEDIA / "music.wav").read_bytes())
    steps = [abs(after - before) for before, after in pairwise(music)]

    assert len(music) == 12 * RATE_HZ
    assert loudness(music) < 32_767 / 4
    assert min(loudness(music[n : n + RATE_HZ // 10]) for n in range(0, len(music), RATE_HZ // 10)) > 300
    assert music[0] != 0, "the last notes ring on into the first"
    assert abs(music[0] - music[-1]) <= max(steps[-RATE_HZ // 10 :])
