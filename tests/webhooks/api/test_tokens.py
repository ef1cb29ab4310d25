"""Access tokens of browser agents."""

import jwt
import pytest

from conferral.storage.codecs.text_codec import from_iso
from tests.support.each import each
from tests.webhooks.api.api_helpers import ENVIRON, ask

pytestmark = pytest.mark.redis


async def test_token_allows_incoming_and_outgoing_calls_for_an_hour(api):
    status, answer = await ask(api, "POST", "/tokens", json={"identity": "alice_2"})

    held = jwt.decode(answer["token"], ENVIRON["TWILIO_API_SECRET"], algorithms=["HS256"], options={"require": ["exp"]})
    head = jwt.get_unverified_header(answer["token"])
    assert status == 200
    # Source: Twilio docs, Access Tokens.
    assert (head["typ"], head["alg"], head["cty"]) == ("JWT", "HS256", "twilio-fpa;v=1")
    assert (held["iss"], held["sub"]) == (ENVIRON["TWILIO_API_KEY"], ENVIRON["TWILIO_ACCOUNT_SID"])
    assert held["grants"] == {
        "identity": "alice_2",
        "voice": {
            "incoming": {"allow": True},
            "outgoing": {"application_sid": ENVIRON["TWILIO_TWIML_APP_SID"]},
        },
    }
    assert (answer["identity"], from_iso(answer["expires_at"])) == ("alice_2", held["exp"] * 1000)
    issued_s = int(held["jti"].rpartition("-")[2])
    assert 3600 <= held["exp"] - issued_s + 1 <= 3602
    assert "nbf" not in held


async def test_token_names_the_region_whose_key_signed_it(open_api):
    for region in ("", "ie1"):
        client = await open_api(TWILIO_REGION=region, TWILIO_API_URL="http://127.0.0.1:9")
        _, answer = await ask(client, "POST", "/tokens", json={"identity": "alice"})
        assert jwt.get_unverified_header(answer["token"]).get("twr", "") == region


RULE = "an access token takes one field, identity, which is text"


@each(
    "identity, which",
    [("", "is empty"), ("x" * 122, "is longer"), ("al ice", "has ' '"), ("al-ice", "has '-'"), ("a.b", "has '.'"),
     ("alice\n", r"has '\n'"), ("älice", r"has '\xe4'"), ("+14155550199", "has '+'")],
)  # fmt: skip
async def test_an_identity_that_twilio_does_not_dial_is_refused_and_not_repeated(api, identity, which):
    status, reported = await ask(api, "POST", "/tokens", json={"identity": identity})

    rule = "identity must be 1 to 121 letters, digits, or _, since Twilio dials no others; this one"
    assert (status, reported["error"]["reason"]) == (422, f"{rule} {which}")


@pytest.mark.parametrize(
    "body", [{}, {"identity": "a", "ttl": 9}, {"identity": None}, {"identity": 7}, {"identity": True}]
)
async def test_token_request_accepts_only_an_identity(api, body):
    status, answer = await ask(api, "POST", "/tokens", json=body)

    assert (status, answer["error"]["reason"]) == (422, RULE)


@pytest.mark.parametrize(
    ("without", "named"),
    [
        (["TWILIO_TWIML_APP_SID"], "TWILIO_TWIML_APP_SID"),
        (["TWILIO_API_KEY", "TWILIO_API_SECRET"], "TWILIO_API_KEY, TWILIO_API_SECRET"),
        (
            ["TWILIO_API_KEY", "TWILIO_API_SECRET", "TWILIO_TWIML_APP_SID"],
            "TWILIO_API_KEY, TWILIO_API_SECRET, TWILIO_TWIML_APP_SID",
        ),
    ],
)
async def test_settings_that_are_missing_are_named(open_api, lines, without, named):
    client = await open_api(**dict.fromkeys(without))

    status, body = await ask(client, "POST", "/tokens", json={"identity": "alice"})

    assert (status, body["error"]["type"]) == (503, "not-set-up")
    assert body["error"]["reason"] == f"access tokens need settings that are not set: {named}"
    assert [line["event"] for line in lines] == ["api_refused"]
