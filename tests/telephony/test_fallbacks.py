"""Which URLs a customer may be sent back to: those below a prefix of the settings, whatever a proxy decodes."""

import pytest

from conferral.telephony.addresses import AddressError, AllowList
from conferral.telephony.fallbacks import AddressRules, url_matches
from tests.support.each import each

HOST = "https://app.example.com"
PREFIX = f"{HOST}/calls"


@each("url, prefix", [
    (PREFIX, PREFIX), (f"{PREFIX}/", PREFIX), (f"{PREFIX}/7?a=../b", f"{PREFIX}/"), (f"{HOST}/x", HOST),
    (f"{HOST}:443/calls/7", PREFIX), ("https://APP.example.com/calls", PREFIX),
    ("http://a.example:80/calls", "http://a.example"), ("http://a.example/calls", "http://a.example:80/"),
    (f"{HOST}:8443/calls", f"{HOST}:8443"), (f"{PREFIX}/a..b/.../..c/.d/K%c3%b6ln%20x", PREFIX),
    (f"{PREFIX}/{'x' * (1_999 - len(PREFIX))}", PREFIX),
])  # fmt: skip
def test_url_below_the_prefix_is_allowed(url, prefix):
    assert url_matches(url, ("https://other.example.com", prefix))


@each("url", [
    "", HOST, f"{HOST}/call", f"{PREFIX}2", f"{PREFIX}/{'x' * (2_000 - len(PREFIX))}",
    "http://app.example.com/calls", f"{HOST}:80/calls", "https://app.example.org/calls", "ftp://app.example.com/calls",
    f"{HOST}@evil.example/calls", "https://me@app.example.com/calls", f"{PREFIX}#a",
    f"{PREFIX}/../x", f"{PREFIX}/..", f"{PREFIX}/.", f"{PREFIX}/./x", f"{PREFIX}/..;a/x",
    *(f"{PREFIX}/..{end}" for end in (
        "%3fx", "%23x", "%00", "%20", "%253f", "%09/x", "%c0%af", "%ef%bc%8fx", ":x", "%3bx/y",
    )),
    *(f"{PREFIX}/{path}" for path in (
        "%ef%bc%8e%ef%bc%8e/x", "%e2%80%a5/x", "x%ef%bc%8f../y", "%c0%ae%c0%ae/x", "x%0ay", "x%7f", "x%ff", "x%25ff",
    )),
    *(f"{PREFIX}/{path}" for path in ("%2e%2e/x", "%252e%252e/x", "..%2fx", "..%5cx", "%5c../x", "%255c")),
    f"{PREFIX}\\x", f"{PREFIX}/?a=\\x",
])  # fmt: skip
def test_any_other_url_is_not(url):
    assert not url_matches(url, (PREFIX,))


def rules():
    return AddressRules({"desk": "+14155550123"}, AllowList(frozenset({"US"}), clients=True), (PREFIX,))


@each("text, places", [
    ("recall", ("recall",)), (" voicemail , end ", ("voicemail", "end")),
    ("voicemail,recall,end", ("voicemail", "recall", "end")),
    (f"client:bob,desk,{PREFIX}", ("client:bob", "+14155550123", PREFIX)),
])  # fmt: skip
def test_fallback_has_one_to_three_places(text, places):
    assert rules().parse(text, without=frozenset()) == places


@each("text, reason", [
    ("", "must be 1 to 3 places, separated by commas"),
    ("recall,voicemail,client:bob,end", "must be 1 to 3 places, separated by commas"),
    ("recall,,end", "place 2 is empty"), (",end", "place 1 is empty"),
    ("desk,+14155550123", "must not name a place twice"),
    ("end,recall", "end and a URL must be the last place"),
    (f"{PREFIX},end", "end and a URL must be the last place"),
    ("voicemal", "no place or destination has that name; did you mean voicemail?"),
    ("recall", "recall is not possible here"),
])  # fmt: skip
def test_any_other_text_is_refused_with_the_reason(text, reason):
    with pytest.raises(AddressError) as refused:
        rules().parse(text, without=frozenset({"recall"}) if text == "recall" else frozenset())
    assert str(refused.value) == reason
