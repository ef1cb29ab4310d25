"""Commands by their descriptions: values of JSON, words of refusal, and schemas that accept what is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from conferral.commands.parser import BadCommandError, fields_of, own_fields, parse, schema_of
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.events.commands import COMMANDS_BY_NAME, Add, Call, Retrieve, Transfer
from conferral.statemachine.ids import NO_PHONE_NUMBER_RULE
from conferral.statemachine.parts import DialOptions
from tests.support.command_examples import FIRST
from tests.support.each import each
from tests.support.people import CUSTOMER

ADD = {"type": "add", "session": "s", "to": CUSTOMER, "party": "lawyer"}
TRANSFER = {"type": "transfer", "session": "s", "to": CUSTOMER, "mode": "warm"}
CALL = {"type": "call", "agent": "client:alice", "customer": CUSTOMER}
#: Braces would move a key to another slot of a cluster; the others are a pattern of keys.
KEY_CHARACTERS = ("{0}x", "x{0}", "[a-z]")
CALL_SID = "CA0123456789abcdef0123456789abcdef"


def refusal(fields) -> str:
    with pytest.raises(BadCommandError) as refused:
        parse(fields)
    return str(refused.value)


NEW_NAME = (
    "party must be a new name: a lowercase letter, then up to 31 lowercase letters, digits, _, or -, and no phone "
    "number; reserved: customer, agent, target, supervisor, agent-NUMBER, supervisor-NUMBER, guest-NUMBER, and all "
    "that begin with target-"
)
ANNOUNCE = {"type": "announce", "session": "s"}
ONE_OF_TWO = "announce needs one of the fields url and say, and not both"
URL = "url must be an http:// or https:// URL of at most 2,000 characters"


PARAMS = (
    "params must be name=value&name=value, URL-encoded, of at most 800 characters, without control characters; a name "
    "has 1 to 64 letters, digits, _, or -, and doesn't begin with Twilio-"
)
#: They show nothing: format characters, letters, marks, spaces, private and unassigned characters.
INVISIBLE = (
    "\u00ad\u200b\ufeff\U000e0041\u115f\u3164\uffa0\u034f\ufe0f\U000e0100\u180e\u2063\u2800\u00a0\u3000\ue000\u2065"
)
NAMES = ", ".join(sorted(COMMANDS_BY_NAME))
DEADLINE = "deadline must be a time in ISO 8601 with its zone, such as 2026-11-30T10:00:08Z"


@each("text", ["desk/7 Ä", "\u0928\u093f", "e\u0301", "\u05e9\u05c1", "№ 7 ≠ 8", "😀", "李雷"])
def test_letters_marks_and_symbols_of_every_script_are_printable(text) -> None:
    assert parse({"type": "transfer", "session": "s", **FIRST["transfer"], "ref": text})


DIAL_OPTIONS = ", ".join(one.name for one in own_fields(Retrieve) if one.name != "to")


@each("fields, words", [
    ({"type": "dance", "session": "s"}, f"unknown type 'dance'; one of: {NAMES}"),
    ({"type": CUSTOMER, "session": "s"}, f"unknown type (unprintable); one of: {NAMES}"),
    ({"type": "convert"}, "convert: missing field \"session\" (a session's id or a call SID)"),
    *(({"type": "convert", "session": name}, "session must be 1 to 64 letters, digits, _, or -")
      for name in ("a*", *KEY_CHARACTERS)),
    ({"type": "end", "session": "s", "to": "x"}, "end has no field 'to'; it takes session and id"),
    ({"type": "end", "session": "s", CUSTOMER: "x"}, "end has no field (unprintable); it takes session and id"),
    ({**TRANSFER, "timeout_s": "9"},
     ("transfer has no field 'timeout_s'; "
     f"it takes session, to, mode, fallback, ref, {DIAL_OPTIONS}, and id")),
    ({**TRANSFER, "session": ""}, "transfer: missing field \"session\" (a session's id or a call SID)"),
    ({**TRANSFER, "to": ""}, 'transfer: missing field "to" (address to dial)'),
    ({**TRANSFER, "mode": ""}, 'transfer: missing field "mode" (warm, consult, or blind)'),
    ({**TRANSFER, "mode": "cold"}, "mode must be warm, consult, or blind"),
    *(({**TRANSFER, "to": to}, "to must have a destination before and after each comma")
      for to in (",", f"{CUSTOMER}, ,client:a", f"{CUSTOMER},", ",client:a")),
    ({**TRANSFER, "to": [CUSTOMER, "client:a"]},
     "to must be text, not a list; it must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "mode": "blind", "fallback": ["end"]},
     "fallback must be text, not a list; it must be places, separated by commas"),
    ({**TRANSFER, "to": ",".join(f"client:a{n}" for n in range(11))},
     "to must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "to": "x" * 5_121}, "to must be 1 to 10 destinations, separated by commas"),
    ({**TRANSFER, "to": f"{CUSTOMER},client:a, {CUSTOMER}"}, "to must not name a destination twice"),
    ({**TRANSFER, "fallback": "x" * 3_025}, "fallback must be places, separated by commas"),
    ({**TRANSFER, "brief": "x" * 501}, "brief must be at most 500 characters, without control characters"),
    ({**TRANSFER, "brief": "\uffff"}, "brief must be at most 500 characters, without control characters"),
    ({**TRANSFER, "timeout": "\u0663\u0660"}, "timeout must be whole seconds, 5 to 600"),
    ({**TRANSFER, "timeout": "9" * 5_000}, "timeout must be whole seconds, 5 to 600"),
    ({**TRANSFER, "digits": "12x"}, "digits must be 1 to 32 of the characters 0-9 * # w W"),
    ({**TRANSFER, "digits": "1\n"}, "digits must be 1 to 32 of the characters 0-9 * # w W"),
    *(({**TRANSFER, "params": params}, PARAMS) for params in (
        "name", "=Ada", "a.b=1", f"{'n' * 65}=1", "a=1&", "&a=1", "a=1&&b=2", "a=Ada L", "a=Ä", "a=%zz", "a=%4",
        "twilio-CallSid=1", "a=1&Twilio-X=1",
        "a=%0A", "a=%1f", "a=%7F", "a=%00", "a=%C2%85", "a=%E2%80%A8", "a=%FF", "a=1\n", "a=1#", f"a={'1' * 799}",
        f"a={'+' * 267}",
    )),
    *(({**TRANSFER, "ref": ref}, "ref must be 1 to 64 printable characters") for ref in (
        "x" * 65, "a\nb", "a\u2028", *(f"a{one}b" for one in INVISIBLE),
    )),
    *(({**TRANSFER, "by": f"a{one}b"}, "by must be 1 to 64 printable characters without /") for one in INVISIBLE),
    ({**TRANSFER, "ref": 7}, "ref must be text"),
    ({**CALL, "agent": ""}, 'call: missing field "agent" (address of the agent, dialed first)'),
    ({**CALL, "customer": ""}, 'call: missing field "customer" (address of the customer, dialed second)'),
    ({**CALL, "agent": f"{CUSTOMER},client:a"}, "agent must be one destination"),
    ({**CALL, "customer": "x" * 513}, "customer must be one destination"),
    ({**CALL, "mode": "warm"}, "mode must be bridge or conference"),
    ({**CALL, "session": "14155550123"}, f"session {NO_PHONE_NUMBER_RULE}"),
    ({**CALL, "id": "123456789012345"}, f"id {NO_PHONE_NUMBER_RULE}"),
    *(({**CALL, "id": name}, "id must not begin with -") for name in ("-", "-rf")),
    ({**CALL, "session": "-rf"}, "session must not begin with -"),
    ({**CALL, "to": CUSTOMER},
     ("call has no field 'to'; "
     f"it takes session, agent, customer, mode, ref, {DIAL_OPTIONS}, and id")),
    ({**ADD, "party": ""}, 'add: missing field "party" (a new name for the dialed party)'),
    *(({**ADD, "party": name}, NEW_NAME) for name in (
        "agent", "customer", "target", "supervisor", "agent-1", "supervisor-1", "target-12", "target-bob", "guest-1",
        "Lawyer", "1st", "a" * 33, "a b", "a\n", CUSTOMER, "bob14155550123", "bob-415-555-0123", "x_4155550",
        *KEY_CHARACTERS,
    )),
    ({**ADD, "to": f"{CUSTOMER}\n"}, "to must be one destination"),
    ({**ADD, "to": "\ud800"}, "to must be one destination"),
    ({**ADD, "mode": "warm"},
     ("add has no field 'mode'; "
     f"it takes session, to, party, muted, {DIAL_OPTIONS}, and id")),
    *(({**ADD, "id": name}, "id must be 1 to 64 letters, digits, _, or -") for name in ("a b", *KEY_CHARACTERS)),
    *(({**CALL, "session": name}, "session must be 1 to 64 letters, digits, _, or -") for name in KEY_CHARACTERS),
    ({"type": "hold", "session": "s"}, 'hold: missing field "party" (a party\'s name or its call SID)'),
    *(({"type": "mute", "session": "s", "party": party}, "party must be the name of a party or the SID of its call")
      for party in (CUSTOMER, CUSTOMER[1:], "a b", "a" * 65, *KEY_CHARACTERS)),
    ({"type": "supervise", "session": "s", "to": CUSTOMER},
     'supervise: missing field "mode" (monitor, whisper, or barge)'),
    ({"type": "supervise", "session": "s", "to": CUSTOMER, "mode": "listen"},
     "mode must be monitor, whisper, or barge"),
    ({"type": "record", "session": "s"}, 'record: missing field "action" (start, pause, resume, or stop)'),
    ({"type": "record", "session": "s", "action": "rewind"}, "action must be start, pause, resume, or stop"),
    (ANNOUNCE, ONE_OF_TWO),
    ({**ANNOUNCE, "url": "", "say": ""}, ONE_OF_TWO),
    ({**ANNOUNCE, "url": "https://example.com/a.mp3", "say": "Hello"}, ONE_OF_TWO),
    ({**ANNOUNCE, "url": "y", "say": "Hello"}, ONE_OF_TWO),
    ({**ANNOUNCE, "url": None, "say": "Hello"}, "url must be text"),
    *(({**ANNOUNCE, "url": url}, URL) for url in (
        "example.com/a.mp3", "ftp://example.com/a", "https://", "https:///a", "https://example.com/a b",
        "https://example.com/ä", "https://example.com/%zz", "https://example.com/<a>", "https://example.com:x/",
        "https://example.com/a\n", f"https://example.com/{'a' * 1_981}", "https://a@b@c/",
    )),
    ({**ADD, "to": 14155550123}, "to must be text"),
    ({**ADD, "brief": {"a": CUSTOMER}}, "brief must be text"),
    ({**ADD, "session": 5}, "session must be text"),
    *(({**ADD, "confirm": confirm}, "confirm must be true or false") for confirm in (1, 0, None, "yes", [], {})),
    *(({**ADD, "timeout": timeout}, "timeout must be whole seconds, 5 to 600")
      for timeout in (4, 601, 30.5, True, None, [], 10**400, -30, float("inf"), float("nan"))),
    *(({**ADD, "confirm_for": seconds}, "confirm_for must be whole seconds, 9 to 60")
      for seconds in (8, 61, "8", "61", "9s", 9.5, True, None)),
    *(({**named, "session": "s"}, f"missing field \"type\" (the command); one of: {NAMES}")
      for named in ({}, {"type": ""})),
    ({"type": ["end"], "session": "s"}, f"unknown type (unprintable); one of: {NAMES}"),
])  # fmt: skip
def test_invalid_command_is_explained(fields, words):
    assert refusal(fields) == words


def test_transfer_is_taken_with_all_its_options():
    fields = {"to": f"{CUSTOMER}, client:bob", "mode": "consult", "brief": "Überweisung 👋", "confirm": "true"}
    parsed = parse(
        {**TRANSFER, **fields, "timeout": "20", "confirm_for": 45, "digits": "ww12#", "ref": "r" * 64, "id": "c1"}
    )
    assert (parsed.event_type, parsed.session) == (Transfer, "s")
    assert parsed.event("s", "c1", 5) == Transfer(
        session_id="s", token="c1", occurred_at_ms=5, to=(CUSTOMER, "client:bob"), mode="consult",
        ref="r" * 64,
        options=DialOptions("Überweisung 👋", confirm=True, confirm_for_s=45, timeout_s=20, digits="ww12#"),
    )  # fmt: skip


@each("given, taken", [
    ("name=Ada", "name=Ada"), ("name=", "name="), ("a-B_9=1&a-B_9=2", "a-B_9=1&a-B_9=2"),
    ("name=Ada+L%C3%B3pez&x=%2B", "name=Ada%20L%C3%B3pez&x=%2B"), ("a=b=c;d,e/?:@", "a=b%3Dc%3Bd%2Ce%2F%3F%3A%40"),
    (f"a={'1' * 798}", f"a={'1' * 798}"), (f"a={'+' * 266}", f"a={'%20' * 266}"),
])  # fmt: skip
def test_params_are_taken_in_one_encoding(given, taken):
    assert parse({**TRANSFER, "params": given}).entry()["params"] == taken


def test_call_needs_no_session_and_defaults_to_bridge():
    parsed = parse({**CALL, "confirm": "false", "id": "c1"})
    assert (parsed.event_type, parsed.session) == (Call, "")
    expected = Call(session_id="CS1", token="c1", agent="client:alice", customer=CUSTOMER)
    assert parsed.event("CS1", "c1", 0) == expected
    assert expected.mode == "bridge"
    assert parse({**CALL, "session": "mine", "mode": "bridge"}).session == "mine"


@each("kind", [kind for kind in COMMANDS if not own_fields(kind)])
def test_command_without_fields_of_its_own_takes_a_session_alone(kind):
    parsed = parse({"type": kind.name, "session": "CA1"})
    assert parsed.event("s", "c", 1) == kind(session_id="s", token="c", occurred_at_ms=1)


def test_session_fault_is_reported_first_then_unknown_fields():
    assert refusal({**ADD, "session": "a b", "strange": "1", "to": ""}).startswith("session must be")
    assert refusal({**ADD, "strange": "1", "odd": "2", "to": ""}).startswith("add has no field 'odd'")
    assert refusal({**ADD, "to": "", "digits": "x"}).startswith('add: missing field "to"')


@pytest.mark.parametrize("url", [
    "https://example.com/a.mp3", "HTTP://EXAMPLE.com:8080/a%20b?c=d&e=%2B#rc=2", "http://[::1]:80/", "https://a:b@host",
    f"https://example.com/{'a' * 1_980}",
])  # fmt: skip
def test_url_that_can_be_fetched_is_taken(url):
    assert parse({**ANNOUNCE, "url": url}).entry()["url"] == url


@pytest.mark.parametrize("given, taken", [(True, True), ("true", True), (False, False), ("false", False)])
def test_confirm_is_a_boolean_or_a_word(given, taken):
    parsed = parse({**ADD, "confirm": given})
    assert parsed.values["confirm"] is taken
    assert parsed.entry()["confirm"] == str(taken).lower()


@pytest.mark.parametrize("given, taken", [(30, 30), (30.0, 30), ("30", 30), ("030", 30), (5, 5), (600, 600)])
def test_timeout_is_a_number_or_digits(given, taken):
    parsed = parse({**ADD, "timeout": given})
    assert parsed.values["timeout_s"] == taken
    assert type(parsed.values["timeout_s"]) is int
    assert parsed.entry()["timeout"] == str(taken)


@pytest.mark.parametrize("given, taken_ms", [
    ("2026-11-30T10:00:08Z", 1_796_032_808_000), ("2026-11-30T11:00:08.25+01:00", 1_796_032_808_250),
    ("2026-11-30T10:00:08.123456789-00:00", 1_796_032_808_123), ("1969-01-01T00:00:00Z", 1),
    ("1970-01-01T00:00:00Z", 1),
])  # fmt: skip
def test_deadline_is_a_time_with_its_zone(given, taken_ms):
    parsed = parse({**ADD, "deadline": given})
    assert parsed.event("s", "c", 1).deadline_ms == parsed.deadline_ms == taken_ms
    assert parse(parsed.entry()) == parsed


@each("given", [
    "soon", "30", 30, 1_796_032_808, "2026-11-30", "2026-11-30T10:00:08", "2026-11-30 10:00:08Z",
    "2026-13-30T10:00:08Z", "2026-11-30T10:00:08+25:00", "20261130T100008Z",
])  # fmt: skip
def test_anything_else_is_no_deadline(given):
    assert refusal({**ADD, "deadline": given}) in ("deadline must be text", DEADLINE)


@each("fields", [
    {**ANNOUNCE, "say": "x" * 500}, {**ADD, "to": "x" * 512},
    *({"type": "transfer", "session": "s", "mode": "warm", "to": to}
      for to in (",".join("abcdefghij"), "x" * 5_120)),
    {**TRANSFER, "fallback": "x" * 3_024},
])  # fmt: skip
def test_longest_text_is_taken(fields):
    assert parse(fields).entry().items() >= fields.items()


def test_empty_fields_are_left_out_of_the_entry():
    parsed = parse({**ADD, "brief": "", "id": ""})
    assert parsed.entry() == ADD
    assert parsed.values == {"to": CUSTOMER, "party": "lawyer"}


def test_command_repr_shows_no_number_or_name():
    parsed = parse({**ADD, "brief": "Mrs Smith calls", "id": "c1"})
    assert repr(parsed) == f"ParsedCommand(event_type={Add!r}, session='s', id='c1')"
    assert "Smith" not in str(parsed)


def names_of(command) -> list[str]:
    return ["type", *(one.name for one in fields_of(command))]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(COMMANDS), st.data())
def test_whatever_is_given_is_taken_or_refused_without_repeating_it(command, data):
    number = data.draw(st.sampled_from(["+15005550006", "15005550006"]))
    names = st.sampled_from(names_of(command)) | st.text(max_size=5).map(lambda text: text + number)
    texts = st.text(max_size=40).map(lambda text: text + number)
    changes = data.draw(st.dictionaries(names, ANYTHING | texts, max_size=3))
    try:
        found = parse({"session": "s", **FIRST[command.name], **changes, "type": command.name})
    except BadCommandError as refused:
        words = str(refused)
    else:
        # Names of an existing session and of the command itself are shown.
        words = repr(found).replace(repr(found.session), "").replace(repr(found.id), "")
        assert all(type(text) is str and text.encode() for text in found.entry().values())
        assert parse(found.entry()) == found, "what one way of giving it takes, the stream takes too"
    assert number not in words


# ---- schemas ----------------------------------------------------------------------------------------------------


def accepts(schema, value) -> bool:
    return Draft202012Validator(schema).is_valid(value)


@each("name", COMMANDS_BY_NAME)
def test_schema_accepts_a_valid_command_and_its_empty_fields(name):
    schema = schema_of(COMMANDS_BY_NAME[name])
    assert schema["description"]
    fields = {"type": name, "session": "s", **FIRST[name]}
    empty = dict.fromkeys(schema["properties"].keys() - schema["required"] - fields.keys(), "")
    assert accepts(schema, fields)
    assert accepts(schema, {**fields, **empty})
    assert parse(fields).entry() == parse({**fields, **empty}).entry() == fields
    assert not accepts(schema, {**fields, "strange": ""})
    assert not accepts(schema, {**fields, "type": "dance"})


@given(st.sampled_from(COMMANDS), st.data())
def test_schema_and_validation_say_the_same_of_any_field(command, data):
    fields = {"type": command.name, "session": "s", **FIRST[command.name]}
    schema = schema_of(command)
    name = data.draw(st.sampled_from([name for name in names_of(command) if name not in {"type", "url", "say"}]))
    near = st.from_regex(r"[a-z0-9*#wW+:,. -]{0,34}\Z", fullmatch=True)
    fields[name] = data.draw(
        st.booleans() | st.integers(-1, 700) | near | st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
        | st.sampled_from(["", "true", "agent", "agent-1", "guest-2", "bridge", "blind", "barge", "stop", "05", "600"])
    )  # fmt: skip
    try:
        parse(fields)
        is_taken = True
    except BadCommandError as refused:
        if "printable" in str(refused):
            return  # no schema can say which characters show nothing
        is_taken = "twice" in str(refused)  # nor that nothing occurs twice
    assert accepts(schema, fields) == is_taken


@each("given, is_right", [
    ({"say": "Hello"}, True), ({"url": "https://a/"}, True), ({"say": "Hello", "url": ""}, True), ({}, False),
    ({"say": "", "url": ""}, False), ({"say": "Hello", "url": "https://a/"}, False),
])  # fmt: skip
def test_schema_of_announce_wants_one_of_two(given, is_right):
    schema = schema_of(COMMANDS_BY_NAME["announce"])
    assert accepts(schema, {"type": "announce", "session": "CA1", **given}) == is_right


def test_fields_that_are_given_in_another_way_are_left_out_of_a_schema():
    schema = schema_of(Transfer, without=("session", "type"))
    assert schema["required"] == ["to", "mode"]
    assert {"session", "type"}.isdisjoint(schema["properties"])
