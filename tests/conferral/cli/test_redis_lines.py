"""The lines of the page that show sessions with Redis alone."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conferral.cli_helpers import KEYS, make_session, put
from tests.docs.markdown_files import blocks

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(
        not (shutil.which("redis-cli") and shutil.which("jq")), reason="no redis-cli, or no jq, on PATH"
    ),
]
ROOT = Path(__file__).resolve().parents[3]
SID = "CA0123456789abcdef0123456789abcdef"


def test_redis_says_how_a_call_stands_and_shows_its_record(redis, redis_server):
    session = make_session(SID)
    put(redis, session)
    socket = urlsplit(redis_server.url).path
    lines = [line for text in blocks(ROOT / "docs" / "operating.md", "sh") for line in text.splitlines()]

    def shown(command: str) -> str:
        (line,) = [one for one in lines if one.startswith("redis-cli") and f" {command} " in one]
        words = shlex.split(line.replace("redis-cli", f"redis-cli -s {socket}"))
        redis_words, pipe, others = (words, "", []) if "|" not in words else split_at(words, "|")
        found = subprocess.run(redis_words, capture_output=True, text=True, check=True).stdout
        return subprocess.run(others, input=found, capture_output=True, text=True, check=True).stdout if pipe else found

    assert shown("--scan").split() == [KEYS.session(SID)]
    state, phase, people, updated_at = shown("HMGET").splitlines()
    assert (state, phase, people) == ("bridged", "connected", "customer connected; agent connected")
    assert updated_at == "2027-01-15T08:00:01.000Z"
    agent = json.loads(shown("HGET"))
    assert (agent["address"], agent["status"], agent["call_sid"]) == (
        "client:alice", "connected", session.parties["agent"].call_sid,
    )  # fmt: skip


def split_at(words: list[str], mark: str) -> tuple[list[str], str, list[str]]:
    at = words.index(mark)
    return words[:at], mark, words[at + 1 :]
