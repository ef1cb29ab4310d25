"""Hand-offs: options in the URL and in `HandoffData`, of which bad ones never keep the caller from a person."""

import json

import pytest

from conferral.runtime.errors import SettingsError
from conferral.statemachine.events import CallReceived
from conferral.statemachine.parts import CONFIRM_FOR_S, DialOptions
from conferral.telephony.addresses import AllowList
from conferral.telephony.directory import load_directory
from conferral.webhooks.handoff_options import Handoff, HandoffParser
from tests.support.each import each
from tests.support.metric_values import value_of
from tests.webhooks.documents import conference_of, dial_of, follow, next_url, rung, verbs
from tests.webhooks.webhook_helpers import AGENT, CALLER, DIAL_ACTION, PUBLIC_URL, facts, fields, post, settings

HANDOFF = "/voice/handoff"
MENU = "https://app.example.com/menu"
OPTIONS = {"CONFERRAL_RETURN_URLS": "https://app.example.com", "CONFERRAL_ALLOWED_DESTINATIONS": "US,client:"}


@pytest.fixture
async def client(open_client):
    return await open_client(**OPTIONS)


def arrives(data=None, **changes):
    text = data if isinstance(data, str) or data is None else json.dumps(data)
    return fields("call_arrives", HandoffData=text, **changes)


async def received(client, webhook_store, query="", data=None, **changes):
    """The event of a hand-off, whatever its options."""
    status, document = await post(client, HANDOFF + (f"?{query}" if query else ""), arrives(data, **changes))
    assert status == 200
    assert conference_of(document) is not None
    (event,) = webhook_store.events
    assert isinstance(event, CallReceived)
    return event


async def test_without_options_the_caller_waits_for_the_agents_of_the_number(client, webhook_store):
    event = await received(client, webhook_store)
    assert (event.agent_address, event.mode, event.direction) == ("+14155550123", "conference", "inbound")
    assert (event.handed_off, event.fallback, event.options) == (True, (), DialOptions())


async def test_options_in_the_url(client, webhook_store):
    query = f"to=client:bob&brief=Order+7&confirm=true&timeout=20&params=id%3D7&ref=T-1&back={MENU}&amd=true"
    event = await received(client, webhook_store, query)
    assert (event.agent_address, event.ref, event.fallback) == ("client:bob", "T-1", (MENU,))
    assert event.options == DialOptions(
        brief="Order 7", confirm=True, confirm_for_s=CONFIRM_FOR_S, timeout_s=20, params="id=7", amd=True
    )


async def test_longest_data_is_read(client, webhook_store):
    assert (await received(client, webhook_store, "", '{"ref": "T-1"}'.ljust(65_536))).ref == "T-1"


@each("query, data, confirm_for_s", [
    ("confirm=true", {}, 0), ("confirm=true&confirm_for=30", {}, 30), ("", {"confirm_for": 45}, 45),
    ("confirm_for=9", {"confirm_for": "60"}, 9), ("confirm_for=8", {"confirm_for": 61}, 0), ("to=client:bob", {}, 20),
    ("to=client:bob&confirm_for=15", {}, 15),
])  # fmt: skip
async def test_a_destination_is_asked_for_as_long_as_the_hand_off_says(
    client, webhook_store, query, data, confirm_for_s
):
    """Without a destination, the number's own time is the default."""
    webhook_store.events.clear()
    assert (await received(client, webhook_store, query, data)).options.confirm_for_s == confirm_for_s


async def test_options_in_the_data_and_the_urls_win(client, webhook_store):
    data = {"to": "client:carol", "brief": "said", "timeout": 25, "confirm": "true", "params": {"id": 7, "a b": "c"},
            "ref": "T-2", "fallback": ["voicemail", "back"], "back": MENU}  # fmt: skip
    event = await received(client, webhook_store, "to=client:bob&ref=T-1", data)
    assert (event.agent_address, event.ref, event.fallback) == ("client:bob", "T-1", ("voicemail", MENU))
    assert event.options.timeout_s == 25
    assert event.options.confirm


@each("query, data", [
    ("to=%2B447700900123", None),  # not on the allow-list
    ("to=%2B14155550100", None),  # our own
    ("fallback=%2B14155550100", None),
    ("to=nobody", None),
    ("mode=warm", None),
    ("timeout=1000", None),
    ("params=a", None),
    ("fallback=recall", None),
    ("fallback=voicemail,end,client:bob", None),
    ("fallback=voicemail,back", None),
    (f"fallback={MENU},voicemail", None),
    ("back=https://evil.example.com/", None),
    ("params=a&b", None),
    ("", "no JSON"),
    ("", "[1]"),
    ("", '"not JSON"'),
    ("", '"[1]"'),
    ("", '{"ref": "T-1"}'.ljust(65_537)),
    ("", '{"ref": "T-1", "brief": "' + "é" * 33_000 + '"}'),
    ("", {"to": "+14155550188"}),  # on the allow-list, but not for data
    ("", {"fallback": "client:bob,+14155550188"}),
    ("", {"timeout": True}),
    ("", {"params": "a=%00"}),
    ("", {"confirm": "maybe"}),
    ("", {"params": {"name": "\ud800"}}),
    ("", {"params": [["name", "Ada"]]}),
    ("", {"params": {"Twilio-CallSid": "CA1"}}),
    ("", {"brief": ["said"]}),
    ("", {"fallback": ["voicemail", None]}),
    ("", {"ref": True}),
    ("", {"amd": True}),  # costs money
    ("", {"timeout": 31}),  # longer than the setting
])  # fmt: skip
async def test_an_invalid_option_is_ignored(open_client, webhook_store, lines, metrics, query, data):
    webhook_store.events.clear()
    lines.clear()
    event = await received(await open_client(**OPTIONS), webhook_store, query, data)
    assert (event.agent_address, event.mode, event.fallback, event.ref) == ("+14155550123", "conference", (), "")
    assert event.options == DialOptions()
    ignored = [line for line in lines if line["event"] in ("handoff_option_ignored", "handoff_data_ignored")]
    assert ignored
    assert all("4155550188" not in str(line) for line in ignored)


@each("query, expected", [
    ("to=+14155550300", {"agent_address": "+14155550300"}),
    ("to=%20%2B14155550300+", {"agent_address": "+14155550300"}),
    ("to=+1+(415)+555-0300", {"agent_address": "+14155550300"}),
    ("to=+client:bob", {"agent_address": "client:bob"}),
    ("fallback=+14155550300,%20+14155550301,+voicemail", {"fallback": ("+14155550300", "+14155550301", "voicemail")}),
    ("ref=+14155550300", {"ref": "+14155550300"}),
    ("timeout=+20+", {"options": DialOptions(timeout_s=20)}),
    ("params=phone%3D+14155550300", {"options": DialOptions(params="phone=%2B14155550300")}),
    ("params=note%3DSmith,+5+rooms", {"options": DialOptions(params="note=Smith%2C%205%20rooms")}),
    ("ref=Smith,+5+rooms", {"ref": "Smith, 5 rooms"}),
])  # fmt: skip
async def test_a_plus_that_the_app_has_not_encoded_is_one(client, webhook_store, query, expected):
    webhook_store.events.clear()
    event = await received(client, webhook_store, query)
    assert {name: getattr(event, name) for name in expected} == expected


WORDS = "The caller asks for a refund. " * 20  # 600 characters


@each("data, options", [
    ({"brief": " Order 7,\r\n\tsecond\u2028line\u0007 "}, DialOptions(brief="Order 7, second line")),
    ({"brief": "Zo\ud83d\u00eb\uffff"}, DialOptions(brief="Zo\u00eb")),
    ({"brief": WORDS}, DialOptions(brief=WORDS[:479])),
    ({"brief": f"Hello. {'word ' * 200}"}, DialOptions(brief=f"Hello. {'word ' * 200}"[:496])),
    ({"brief": "x" * 501}, DialOptions(brief="x" * 500)),
    ({"brief": f"{'x' * 500} y"}, DialOptions(brief="x" * 500)),
    ({"brief": f"Ada {'x' * 600}"}, DialOptions(brief=f"Ada {'x' * 496}")),
    ({"params": {"id": 7, "vip": True, "rate": 1.5, "note": None, "items": [{"n": 1}], "empty": ""}},
     DialOptions(params="id=7&vip=true&rate=1.5&items=%5B%7B%22n%22%3A1%7D%5D&empty=")),
    ({"params": {"a b": 1, "id": 7, "long": "x" * 800, "name": "Ada\n", "last": "L"}},
     DialOptions(params="id=7&last=L")),
    ({"params": "id=7&&name&city=K\u00f6ln Deutz&bad=%0A&last=%zz"},
     DialOptions(params="id=7&city=K%C3%B6ln%20Deutz&last=%25zz")),
    ({"params": {"a": "x" * 790, "bc": "1234567890", "d": 1}}, DialOptions(params=f"a={'x' * 790}&d=1")),
    ({"amd": False, "timeout": 30}, DialOptions(timeout_s=30)),
])  # fmt: skip
async def test_speech_and_context_are_cut_to_fit(client, webhook_store, lines, data, options):
    webhook_store.events.clear()
    assert (await received(client, webhook_store, "", data)).options == options


async def test_the_log_says_what_did_not_fit(client, webhook_store, lines, metrics):
    data = {"brief": "x" * 510, "params": {"id": "1\n", "+14155550188": 1, "ok": 1}, "ref": 7}
    await received(client, webhook_store, "", data)
    assert webhook_store.events[0].ref == "7"
    found = [(line["event"], line["option"], line.get("names"), line["count"]) for line in lines
             if line["event"].startswith("handoff_option")]  # fmt: skip
    assert found == [
        ("handoff_option_cut", "brief", None, 10),
        ("handoff_option_ignored", "params", "id", 2),
    ]
    assert value_of(metrics.handoff_options_ignored.labels("params")) == 1


def test_data_that_is_nested_too_deeply_costs_only_itself(metrics):
    deep = []
    for _ in range(10_000):
        deep = [deep]
    data = dict.fromkeys(("to", "mode", "brief", "confirm", "timeout", "ref", "fallback", "back"), deep)
    data["params"] = {"a": deep, "id": 7}
    parser = HandoffParser(settings(), dict, AllowList(clients=True), metrics)
    expected = Handoff(to="client:bob", ref="T-1", options=DialOptions(params="id=7"))
    assert parser.parse(CALLER, "to=client:bob&ref=T-1", data) == expected


async def test_data_may_name_numbers_that_the_setting_allows(open_client, webhook_store):
    client = await open_client(**OPTIONS, CONFERRAL_HANDOFF_DESTINATIONS="US")
    assert (await received(client, webhook_store, "", {"to": "+14155550188"})).agent_address == "+14155550188"


@each("query, data, names, count, where", [
    ("to=client:bob&fallbak=voicemail&bogus=1", None, "bogus, fallbak", 2, "url"),
    ("handoff=false", None, "handoff", 1, "url"),  # the data's alone
    ("to=client:bob&request=2&v=1", None, None, 0, ""),  # a repeated request of ours
    ("", {"to": "client:bob", "timeOut": 5, "reason": "refund"}, "reason, timeOut", 2, "HandoffData"),
    ("", {"handoff": True, "ref": "T-1"}, None, 0, ""),
    ("%2B14155550188=1&a+b=2&" + "x" * 21 + "=3&to_=4", None, "to_", 4, "url"),
    ("", {f"{letter}{other}": 1 for letter in "abcd" for other in "klmn"}, "ak, al, am, an, bk, bl, bm, bn, ck, cl", 16,
     "HandoffData"),
])  # fmt: skip
async def test_unknown_names_are_logged_and_counted(
    client, webhook_store, lines, metrics, query, data, names, count, where
):
    webhook_store.events.clear()
    lines.clear()
    unknown = metrics.handoff_options_ignored.labels("unknown")
    before = value_of(unknown)
    await received(client, webhook_store, query, data, SpeechResult="hello", WidgetName="order", bogus="in the body")
    found = [line for line in lines if line["event"] == "handoff_option_ignored"]
    assert [(line["names"], line["count"], line["where"]) for line in found] == (
        [(names, count, where)] if count else []
    )
    assert all(line["log_level"] == ("warning" if where == "url" else "info") for line in found)
    assert value_of(unknown) == before + count
    assert "4155550188" not in str(found)


async def test_fragment_of_a_return_url_is_named_as_the_reason(client, webhook_store, lines):
    for option in ("back", "fallback"):
        webhook_store.events.clear()
        event = await received(client, webhook_store, f"{option}={MENU}%23rc%3D2")
        assert event.fallback == ()
    reasons = [(line["option"], line["reason"]) for line in lines if line["event"] == "handoff_option_ignored"]
    why = "a return URL can't have a fragment, such as #rc=2"
    assert reasons == [("back", why), ("fallback", why)]


async def test_ignored_options_are_counted(client, webhook_store, metrics):
    await received(client, webhook_store, "timeout=soon")
    assert value_of(metrics.handoff_options_ignored.labels("timeout")) == 1


async def test_back_of_the_url_completes_a_fallback_of_the_data(client, webhook_store):
    event = await received(
        client, webhook_store, f"back={MENU}", {"fallback": ["voicemail", "back"], "back": f"{MENU}/other"}
    )
    assert event.fallback == ("voicemail", MENU)


@each("query, data", [
    (f"back={MENU}?ids=1,2%26x=3,4", None),
    (f"back={MENU}?ids=1%252C2%26x=3,4", None),
    ("", {"back": f"{MENU}?ids=1,2&x=3,4"}),
])  # fmt: skip
async def test_a_comma_in_back_is_part_of_the_url(client, webhook_store, query, data):
    webhook_store.events.clear()
    url = f"{MENU}?ids=1%2C2&x=3%2C4"
    assert (await received(client, webhook_store, query, data)).fallback == (url,)
    webhook_store.events.clear()
    assert (await received(client, webhook_store, f"{query}&fallback=voicemail,back", data)).fallback == (
        "voicemail",
        url,
    )


async def test_a_comma_in_a_lists_url_is_part_of_it(client, webhook_store):
    event = await received(client, webhook_store, "", {"fallback": ["voicemail", f"{MENU}?ids=1,2"]})
    assert event.fallback == ("voicemail", f"{MENU}?ids=1%2C2")


async def test_data_that_was_encoded_twice_is_read(client, webhook_store, lines):
    event = await received(client, webhook_store, "", json.dumps(json.dumps({"to": "client:bob", "ref": "T-1"})))
    assert (event.agent_address, event.ref) == ("client:bob", "T-1")
    assert not [line for line in lines if line["event"].startswith("handoff_data")]


async def test_a_url_that_is_not_the_last_place_is_no_fallback(client, webhook_store):
    assert (await received(client, webhook_store, f"back={MENU}&fallback=back,voicemail")).fallback == (MENU,)


def test_wrong_destinations_of_the_data_are_named():
    with pytest.raises(SettingsError, match=r"^CONFERRAL_HANDOFF_DESTINATIONS: entry 2 is wrong"):
        load_directory(settings(CONFERRAL_HANDOFF_DESTINATIONS="US,everything"))


@pytest.mark.parametrize("declined", [False, "false"])
async def test_no_person_is_needed(client, webhook_store, declined):
    _, document = await post(client, HANDOFF, arrives({"handoff": declined}))
    assert verbs(document) == ["Hangup"]
    assert not webhook_store.events


async def test_a_caller_who_hung_up_on_the_bot_rings_no_one(client, webhook_store):
    _, document = await post(client, HANDOFF, arrives({"to": "client:bob"}, CallStatus="completed"))
    assert verbs(document) == []
    assert not webhook_store.events


async def test_a_failed_bot_session_hands_off_like_any_other(client, webhook_store):
    await received(client, webhook_store, SessionStatus="failed", ErrorCode="64105")


async def test_a_repeated_request_asks_again_with_the_same_options(client, webhook_store):
    webhook_store.facts = facts("bridged", phase="connected")
    _, document = await post(client, f"{HANDOFF}?ref=T-1&mode=bridge", arrives())
    assert verbs(document) == ["Pause", "Redirect"]
    assert f"{HANDOFF}?ref=T-1&amp;mode=bridge&amp;request=2&amp;v=1#" in document
    _, document = await post(client, f"{HANDOFF}?ref=T-1&mode=bridge&request=6&v=1", arrives())
    assert verbs(document) == ["Say", "Redirect"]
    assert "/voice/fallback?handoff=1&amp;ref=T-1&amp;mode=bridge&amp;request=1&amp;v=1#" in document


@pytest.mark.parametrize("is_customer", [True, False])
async def test_the_fallback_url_connects_a_call_that_the_app_placed_and_handed_over(client, webhook_store, is_customer):
    webhook_store.facts = facts("bridged", direction="outbound", phase="ringing", was_handed_off=True)
    call_sid = CALLER if is_customer else AGENT
    webhook_store.sessions[call_sid] = CALLER
    _, document = await post(client, "/voice/fallback", arrives(CallSid=call_sid, Direction="outbound-api"))
    assert (verbs(document) == ["Hangup"]) is not is_customer


# ---- calls that your app placed: To is the customer -------------------------------------------------------------

OURS, CUSTOMER = "+14155550111", "+14155550199"
PLACED = {"Direction": "outbound-api", "From": OURS, "To": CUSTOMER}
DIRECTORY = """
[inbound."+14155550111"]
agents = ["+14155550131", "+14155550132"]
fallback = "voicemail"
"""


@pytest.fixture
async def placed(open_client, write_directory):
    return await open_client(**OPTIONS, **write_directory(DIRECTORY))


def shown(document):
    return rung(document), dial_of(document).get("callerId")


@pytest.mark.parametrize("is_away", [False, True])
@pytest.mark.parametrize("known", [False, True])
async def test_agents_of_a_call_that_the_app_placed_see_our_number(placed, webhook_store, is_away, known):
    webhook_store.away = is_away
    _, document = await post(placed, f"{HANDOFF}?mode=bridge", arrives(**PLACED))
    assert shown(document) == ("+14155550131", OURS)

    agents = ("+14155550131", "+14155550132")
    session = facts("bridged", phase="ringing", direction="outbound", was_handed_off=True, agents=agents)
    webhook_store.facts = session if known else None
    action = next_url(document, "Dial", "action")
    _, document = await post(placed, action, arrives(**PLACED, DialCallStatus="failed"))
    assert shown(document) == ("+14155550132", OURS)
    assert not any(getattr(event, "failed_with_callers_number", False) for event in webhook_store.events)


async def test_a_destination_that_fails_is_not_rung_again_with_the_same_number(placed, webhook_store):
    webhook_store.facts = facts("bridged", phase="ringing", was_handed_off=True, agents=("+14155550188",))
    action = DIAL_ACTION.replace("&v=1", "&agent=2&v=1")
    for target in (DIAL_ACTION, action):
        _, document = await post(placed, target, arrives(**PLACED, DialCallStatus="failed"))
        assert verbs(document) == ["Say", "Hangup"]


async def test_a_call_that_came_without_redis_is_opened_for_the_customer(placed, webhook_store):
    action = DIAL_ACTION.replace("&v=1", "&call=1&v=1")
    _, document = await post(placed, action, arrives(**PLACED, DialCallStatus="busy"))
    assert shown(document) == ("+14155550132", OURS)
    event = webhook_store.events[0]
    assert (event.customer_address, event.agent_address) == (CUSTOMER, "+14155550131")
    assert (event.direction, event.handed_off, event.called_number) == ("outbound", True, OURS)


@pytest.mark.parametrize("case", ["away", "unstored", "other-session"])
async def test_the_fallback_url_of_a_failed_hand_off_bridges_the_customer(placed, webhook_store, case):
    webhook_store.away = case == "away"
    webhook_store.facts = facts("ended", direction="outbound") if case == "other-session" else None
    webhook_store.ended = {CALLER: CALLER} if case == "other-session" else {}
    webhook_store.publish_and_read = lambda event, call_sid: webhook_store.publish(event, call_sid=call_sid)
    webhook_store.read = nothing
    form = arrives(**PLACED, ErrorUrl=f"{PUBLIC_URL}{HANDOFF}?ref=T-1", ErrorCode="11200")
    _, document = await post(placed, "/voice/fallback", form)
    assert shown(document) == ("+14155550131", OURS)


async def nothing(_session_id):
    return None


@pytest.mark.parametrize("is_away", [False, True])
@pytest.mark.parametrize("by", ["ErrorUrl", "query"])
@each("query, number, rings, expected", [
    (f"to=client:bob&ref=T-1&back={MENU}", "", "bob", ("T-1", (MENU,), "client:bob")),
    (f"to=client:bob&ref=T-1&back={MENU}", "&request=2&v=1", "bob", ("T-1", (MENU,), "client:bob")),
    ("ref=T-1", "", "+14155550131", ("T-1", ("voicemail",), "+14155550131")),
    ("to=%2B447700900123&ref=T-1", "", "+14155550131", ("T-1", ("voicemail",), "+14155550131")),  # not allowed
])  # fmt: skip
async def test_the_fallback_url_keeps_the_options_of_a_failed_hand_off(
    placed, webhook_store, query, number, rings, expected, by, is_away
):
    webhook_store.events.clear()
    webhook_store.away = is_away
    webhook_store.publish_and_read = lambda event, call_sid: webhook_store.publish(event, call_sid=call_sid)
    webhook_store.read = nothing
    form, path = arrives(To=OURS, CallStatus="in-progress"), "/voice/fallback"
    if by == "query":
        path += f"?handoff=1&{query}&request=1&v=1"
    else:
        form |= {"ErrorUrl": f"{PUBLIC_URL}{HANDOFF}?{query}{number}#rc=2", "ErrorCode": "11200"}
    _, document = await post(placed, path, form)
    assert rung(document) == rings
    for event in webhook_store.events:
        assert (event.ref, event.fallback, event.agent_address, event.handed_off) == (*expected, True)
    assert bool(webhook_store.events) is not is_away


async def test_a_caller_who_asked_too_often_is_not_hung_up_without_redis(placed, webhook_store):
    webhook_store.away = True
    _, document = await post(placed, "/voice/fallback?handoff=1&request=1&v=1", arrives(**PLACED))
    assert shown(document) == ("+14155550131", OURS)


async def test_the_fallback_url_asks_again_for_the_customer(placed, webhook_store):
    webhook_store.facts = facts("ended", direction="outbound")
    webhook_store.sessions[CALLER] = CALLER
    error_url = f"{PUBLIC_URL}{HANDOFF}"
    _, document = await post(placed, "/voice/fallback", arrives(**PLACED, ErrorUrl=error_url))
    assert "/voice/fallback?handoff=1&amp;request=2&amp;v=1#" in document
    form = arrives(**PLACED, ErrorUrl=f"{error_url}?to=client:bob&ref=T-1")
    _, document = await post(placed, "/voice/fallback", form)
    assert "/voice/fallback?handoff=1&amp;to=client:bob&amp;ref=T-1&amp;request=2&amp;v=1#" in document


# ---- who is rung next, without the session --------------------------------------------------------------------------

TWO = '[inbound."+14155550100"]\nagents = ["+14155550131", "+14155550132"]\n'


def unanswered():
    return fields("dial_ends_busy", To="+14155550100")


@pytest.fixture
async def rings_bob(open_client, webhook_store, write_directory):
    """The client, and the document that rings Bob while Redis is away."""
    client = await open_client(**OPTIONS, **write_directory(TWO))
    webhook_store.away = True
    query = "to=client:bob&fallback=voicemail"
    _, document = await post(client, f"{HANDOFF}?{query}", arrives(To="+14155550100"))
    assert rung(document) == "bob"
    return client, document


async def test_without_redis_the_caller_is_bridged_to_the_destination(rings_bob):
    assert rung(rings_bob[1]) == "bob"


async def test_no_agent_of_the_directory_follows_whom_a_hand_off_named(rings_bob, webhook_store):
    client, document = rings_bob
    *asked, last = await follow(client, next_url(document, "Dial", "action"), unanswered(), "Redirect")
    assert [verbs(one) for one in asked] == [["Pause", "Redirect"]] * 2
    assert verbs(last) == ["Say", "Hangup"]


async def test_the_fallback_of_the_hand_off_decides_once_redis_is_back(rings_bob, webhook_store):
    client, document = rings_bob
    _, document = await post(client, next_url(document, "Dial", "action"), unanswered())
    webhook_store.away, webhook_store.facts = False, facts("bridged", agents=("client:bob",), fallback=("voicemail",))
    _, document = await post(client, next_url(document, "Redirect"), fields("call_arrives"))
    assert conference_of(document) is not None


async def test_a_session_that_redis_missed_has_whom_the_hand_off_named(rings_bob, webhook_store, child_lookup):
    client, document = rings_bob
    webhook_store.away = False
    callback = next_url(document, "Dial/*", "statusCallback")
    await post(client, callback, fields("agent_rings", To="client:bob"))
    opened = webhook_store.events[0]
    assert (opened.agent_address, opened.other_agents) == ("client:bob", ())
    webhook_store.events.clear()
    await post(client, next_url(document, "Dial", "action"), unanswered())
    assert [event.name for event in webhook_store.events] == []
