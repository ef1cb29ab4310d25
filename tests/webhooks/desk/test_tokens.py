"""Desk tokens: who gets one, what it is good for, and when it ends."""

import base64
import json

import pytest
from twilio.jwt.access_token import AccessToken

from conferral.runtime import containment
from conferral.runtime.web import bearer
from conferral.webhooks.desk import tokens
from tests.support.log_lines import lines_of
from tests.support.metric_values import value_of
from tests.support.token_files import bearer_of, table, write_tokens
from tests.webhooks.api.api_helpers import BEARER, KEYS
from tests.webhooks.desk.desk_helpers import first_sessions

pytestmark = pytest.mark.redis
PATH = "/desk/directory"
GET_ONE = "your server gets one from POST /desk/tokens"


def forged(sent, **claims):
    """The token with other claims, and its signature."""
    body, _, signature = sent.partition(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    changed = base64.urlsafe_b64encode(json.dumps(said | claims).encode()).decode().rstrip("=")
    return {"Authorization": f"Bearer {changed}.{signature}"}


async def test_a_token_says_who_the_agent_is_and_is_valid_in_each_process_for_an_hour(desks, open_desks):
    identity = "alice_40example_2Ecom".ljust(121, "x")
    request = {"identity": identity, "name": "Alice Ä."}
    status, answer = await desks.ask("POST", "/desk/tokens", bearer_of("crm"), json=request)
    assert (status, answer["identity"]) == (200, identity)
    body = answer["token"].partition(".")[0]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims.pop("exp") * 1000 >= desks.clock.wall_ms()
    assert claims == {"identity": identity, "name": "Alice Ä.", "token": "crm"}

    headers = {"Authorization": f"Bearer {answer['token']}"}
    other = await open_desks()
    assert (await other.ask("GET", PATH, headers))[0] == 200
    other.clock.ahead_s = 3601
    assert await other.refusal("GET", PATH, headers) == (401, f"the desk token has expired: {GET_ONE}")


async def test_only_a_token_with_the_permission_makes_one_for_a_valid_identity(desks):
    asked = {"identity": "alice"}
    reason = "the token ops lacks the permission desk"
    assert await desks.refusal("POST", "/desk/tokens", bearer_of("ops"), json=asked) == (403, reason)
    assert (await desks.ask("POST", "/desk/tokens", await desks.bearer(), json=asked))[0] == 401
    named = [{"identity": "a", "name": name} for name in ("\n", " ", "\u2028", "x" * 65, 7)]
    for wrong in ({}, {"identity": "a", "more": 1}, *named, {"identity": 7}, {"identity": None}):
        status, reason = await desks.refusal("POST", "/desk/tokens", bearer_of("crm"), json=wrong)
        assert (status, reason.partition(":")[0]) == (422, "a desk token takes two fields"), wrong
    rule = "identity must be 1 to 121 letters, digits, or _, since Twilio dials no others; this one"
    for identity, which in (
        ("", "is empty"), ("dana@example.com", "has '@'"), ("dana.r", "has '.'"), ("a\n", r"has '\n'"),
        ("x" * 122, "is longer"),
    ):  # fmt: skip
        refusal = await desks.refusal("POST", "/desk/tokens", bearer_of("crm"), json={"identity": identity})
        assert refusal == (422, f"{rule} {which}"), identity


async def test_a_token_that_is_limited_to_identities_makes_none_for_others(desks):
    write_tokens(desks.path, table("crm", ["desk"], desk=["dana", "eve"]))
    desks.tokens.reload()
    assert (await desks.ask("POST", "/desk/tokens", bearer_of("crm"), json={"identity": "eve"}))[0] == 200
    status, reason = await desks.refusal("POST", "/desk/tokens", bearer_of("crm"), json={"identity": "alice"})
    assert (status, reason.partition(";")[0]) == (403, "the token crm may get no desk token for this identity")


async def test_what_is_no_valid_desk_token_gets_one_clear_sentence(desks):
    token = await desks.token()
    wrong = f"wrong desk token, or the token that issued it was removed or changed: {GET_ONE}"
    assert await desks.refusal("GET", PATH, {}) == (
        401, f"missing desk token: {GET_ONE}; send Authorization: Bearer"
    )  # fmt: skip
    foreign = f"this is an API token, and a desk needs a desk token: {GET_ONE}"
    for api_token in (bearer_of("crm"), BEARER):
        assert await desks.refusal("GET", PATH, api_token) == (401, foreign)
    for headers in (
        forged(token, identity="dave"), forged(token, token="ops"), forged(token, exp=2**40),
        {"Authorization": f"Bearer {token}x"}, {"Authorization": f"Bearer {token.partition('.')[0]}"},
        {"Authorization": "Bearer é.é"}, {"Authorization": "Bearer ."},
    ):  # fmt: skip
        assert await desks.refusal("GET", PATH, headers) == (401, wrong)
    assert (await desks.ask("GET", "/sessions", {"Authorization": f"Bearer {token}"}))[0] == 401


async def test_wrong_desk_tokens_are_limited_as_all_are_and_valid_ones_never(desks, metrics):
    right, wrong = await desks.bearer(), {"Authorization": "Bearer x.y"}
    for _ in range(bearer.WRONG_TOKENS_MAX // 2):
        await desks.ask("GET", PATH, wrong)
        await desks.ask("GET", "/sessions", wrong)
    status, reason = await desks.refusal("GET", PATH, wrong)
    assert (status, reason) == (429, "too many wrong tokens from this address")
    assert (await desks.ask("GET", PATH, right))[0] == 200
    assert value_of(metrics.desk_tokens_refused.labels("wrong")) == bearer.WRONG_TOKENS_MAX // 2


@pytest.mark.parametrize("said", [
    '{"x":' + "[" * 990, "[" * 4_000, '{"identity":7}', '{"exp":1e400}', "\ud800", "",
])  # fmt: skip
async def test_a_token_that_cant_be_read_is_a_wrong_one(desks, lines, said):
    body = base64.urlsafe_b64encode(said.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    wrong = {"Authorization": f"Bearer {body}.a"}
    found = [(await desks.ask("GET", PATH, wrong))[0] for _ in range(bearer.WRONG_TOKENS_MAX + 1)]
    assert found == [401] * bearer.WRONG_TOKENS_MAX + [429]
    assert [line["event"] for line in lines] == ["api_token_refused", "api_tokens_limited"]


async def test_an_error_before_the_answer_is_contained_and_logged_once(desks, metrics, monkeypatch):
    def fail(_request):
        raise ZeroDivisionError

    monkeypatch.setattr(tokens, "sent_token", fail)
    with lines_of(monkeypatch, containment) as lines:
        for path in (PATH, "/desk/events", "/desk/parked"):
            assert (await desks.ask("GET", path, {}))[0] == 500
    assert [line["count"] for line in lines if line["event"] == "unexpected_error"] == [1]
    assert value_of(metrics.unexpected_errors.labels("webhook")) == 3


@pytest.mark.parametrize("later", [
    pytest.param(table("ops", ["read"]), id="removed"), pytest.param(table("crm", ["read"]), id="not-allowed"),
    pytest.param(table("crm", ["desk"], desk=["eve"]), id="not-this-agent"),
])  # fmt: skip
async def test_a_token_ends_with_its_issuer_and_so_does_its_stream(desks, later):
    headers = await desks.bearer()
    async with desks.events(headers) as stream:
        assert await first_sessions(stream) == []
        write_tokens(desks.path, later)
        desks.tokens.reload()
        assert await stream.rest_of_events() == []
    assert (await desks.refusal("GET", PATH, headers))[0] == 401


async def test_a_token_is_checked_with_a_new_key_after_redis_has_lost_the_old_one(desks, store):
    headers = await desks.bearer()
    assert (await desks.ask("GET", PATH, headers))[0] == 200
    await store.hdel(KEYS.config, "desk-key")
    desks.clock.ahead_s = 2
    assert (await desks.ask("GET", PATH, {"Authorization": "Bearer eyJ9.x"}))[0] == 401
    renewed = await desks.bearer()
    assert (await desks.ask("GET", PATH, renewed))[0] == 200


async def test_an_access_token_of_a_desk_can_place_no_calls(desks):
    status, answer = await desks.ask("POST", "/desk/access-token", await desks.bearer())
    assert (status, answer["identity"], answer["edge"]) == (200, "alice", None)
    found = AccessToken.from_jwt(answer["token"], key="s" * 32)
    assert found.payload["grants"]["voice"] == {"incoming": {"allow": True}}
    assert found.payload["grants"]["identity"] == "alice"


async def test_an_access_token_of_a_desk_names_the_region_and_comes_with_its_edge(open_desks):
    desks = await open_desks(TWILIO_REGION="ie1", TWILIO_EDGE="dublin")
    _, answer = await desks.ask("POST", "/desk/access-token", await desks.bearer())
    assert answer["edge"] == "dublin"
    assert AccessToken.from_jwt(answer["token"], key="s" * 32).headers["twr"] == "ie1"
