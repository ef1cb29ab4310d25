"""`desk-link`: a link for an agent, in the name of a token; and the end of an agent's sign-ins."""

import re
from functools import partial

import pytest

from conferral.storage.sign_ins import digest_of_secret
from tests.conferral.cli_helpers import KEYS, set_up
from tests.support.token_files import table, write_tokens

pytestmark = pytest.mark.redis


@pytest.fixture
def linked(run, redis):
    set_up(redis)
    return partial(
        run, "desk-link", CONFERRAL_DESK_URL="https://desk.example.com", CONFERRAL_API_TOKEN="token-of-this-test-0123"
    )


def test_a_link_has_a_code_in_its_fragment_of_which_redis_holds_the_digest(linked, redis):
    ran = linked("alice", "--for", "30m")
    assert ran.code == 0
    found = re.fullmatch(r"https://desk\.example\.com/desk\?as=alice#(\S{43})\n", ran.out)
    stored = redis.hgetall(KEYS.sign_ins)
    assert list(stored) == [digest_of_secret(found[1])]
    assert '"for_ms":1800000' in next(iter(stored.values()))
    assert "works once" in ran.err

    assert linked("alice", "--json").json["url"].startswith("https://desk.example.com/desk?as=alice#")
    assert linked("alice", "--end").out == "ended: 2 sign-ins and unused links\n"
    assert linked("alice", "--end", "--json").json == {"identity": "alice", "ended": 0}
    assert not redis.exists(KEYS.sign_ins)


def test_a_link_for_someone_whom_the_directory_does_not_list_comes_with_a_warning(linked, tmp_path):
    path = tmp_path / "directory.toml"
    warning = "warning: [agents] in CONFERRAL_DIRECTORY doesn't list alyce\n"
    listed = (('[agents.alice]\nname = "Alice"\n', True), ('[destinations]\nsales = "+14155550177"\n', False))
    for text, is_warned in listed:
        path.write_text(text)
        ran = linked("alyce", CONFERRAL_DIRECTORY=str(path))
        assert (ran.code, "as=alyce#" in ran.out, warning in ran.err) == (0, True, is_warned)
        assert "warning" not in linked("alice", CONFERRAL_DIRECTORY=str(path)).err


def test_without_a_desks_url_its_the_public_one_if_browsers_allow_a_microphone_there(linked):
    public = partial(linked, "alice", CONFERRAL_DESK_URL="")
    assert public(CONFERRAL_PUBLIC_URL="https://voice.example.com/x").out.startswith(
        "https://voice.example.com/x/desk?"
    )
    for url, said in (("http://voice.example.com", "CONFERRAL_PUBLIC_URL: browsers"), ("", "CONFERRAL_DESK_URL and")):
        ran = public(CONFERRAL_PUBLIC_URL=url)
        assert (ran.code, ran.out) == (1, "")
        assert said in ran.err
    assert linked("alice", CONFERRAL_DESK_URL="http://desk.example.com").code == 2


def test_a_link_needs_a_token_that_may_sign_the_agent_in(linked, tmp_path):
    path = write_tokens(tmp_path / "tokens.toml", table("crm", ["desk"], desk=["dave"]), table("ops", ["read"]))
    named = partial(linked, CONFERRAL_TOKENS=str(path))
    assert named("dave", CONFERRAL_DESK_TOKEN_NAME="crm").code == 0
    for agent, name, said in (
        ("alice", "crm", "the token crm may sign this agent in at no desk"),
        ("alice", "ops", "the token ops may sign this agent in at no desk"),
        ("alice", "gone", "there is no token gone"),
    ):
        ran = named(agent, CONFERRAL_DESK_TOKEN_NAME=name)
        assert ran.code == 1
        assert f"CONFERRAL_DESK_TOKEN_NAME: {said}" in ran.err


@pytest.mark.parametrize(
    "arguments", [("a@b",), ("alice", "--for", "31d"), ("alice", "--for", "0h"), ("alice", "--for", "x")]
)
def test_wrong_arguments_are_refused(linked, arguments):
    assert linked(*arguments).code == 2
