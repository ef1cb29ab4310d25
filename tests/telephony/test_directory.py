"""The directory: what a file says, which errors are reported and how, and that a broken file changes nothing."""

import re

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import SettingsError
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.states import SessionMode
from conferral.telephony.addresses import AddressError, AllowList
from conferral.telephony.directory import (
    Directory,
    DirectoryFile,
    InboundRoute,
    load_directory,
    resolve_address,
)
from conferral.telephony.directory.file import read_people
from tests.support.each import each
from tests.support.people import CUSTOMER, HELP, NUMBER, SALES
from tests.support.service_settings import settings_with

ALLOWED = AllowList.from_setting("US,client:", "+14155550100")
WHOLE = f"""
[destinations]
billing = "{CUSTOMER}"
2nd-line = "client:bob"

[inbound."+14155550170"]
agents = ["billing", "client:carol", "2nd-line", "+14155550124"]
mode = "conference"
record = "customer"
beep = "onEnter"
jitter_buffer_size = "small"
region = "us2"
trim = "do-not-trim"
recording_configuration = "with_transcript-1"
wait_url = "https://cdn.example.com/tune.mp3?key=a%20b#rc=2"
max_participants = 10
greeting = "Grüß Gott."
after = "https://example.com/survey"
time_limit = 3600
hangup_on_star = true

[inbound]
"+14155550171" = {{ beep = true, record = false }}
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "directory.toml"


@pytest.fixture
def settings(path):
    def settings(**changes):
        return settings_with(**{"CONFERRAL_AGENT": "client:alice", "CONFERRAL_DIRECTORY": str(path)} | changes)

    return settings


@pytest.fixture
def faults(path, settings):
    """The faults of a file with this text, without the words that all have in common."""

    def faults(text, **changes):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(SettingsError) as wrong:
            load_directory(settings(**changes))
        start = f"CONFERRAL_DIRECTORY: {path}"
        assert all(problem.startswith(start) for problem in wrong.value.problems)
        return [problem.removeprefix(start).removeprefix(", ") for problem in wrong.value.problems]

    return faults


# ---- what a file says --------------------------------------------------------------------------------------------


def test_everything_that_a_file_may_say(path, settings):
    path.write_text(WHOLE, "utf-8")
    found = load_directory(settings(CONFERRAL_RECORD="true"))
    assert dict(found.destinations) == {"billing": CUSTOMER, "2nd-line": "client:bob"}
    assert found.address_of("billing") == CUSTOMER
    assert found.address_of("Billing") is None
    attributes = ConferenceAttributes(
        record="customer",
        beep="onEnter",
        jitter_buffer_size="small",
        region="us2",
        trim="do-not-trim",
        recording_configuration="with_transcript-1",
        wait_url="https://cdn.example.com/tune.mp3?key=a%20b#rc=2",
        greeting="Grüß Gott.",
        max_participants=10,
        time_limit_s=3600,
        hangup_on_star=True,
        after_url="https://example.com/survey",
    )
    agents = (CUSTOMER, "client:carol", "client:bob", "+14155550124")
    assert found.inbound("+14155550170") == InboundRoute(agents, SessionMode.CONFERENCE, attributes)
    # What is left out is the settings' matter.
    assert found.inbound("+14155550171") == InboundRoute(
        ("client:alice",), None, ConferenceAttributes(record="false", beep="true")
    )
    assert found.inbound("+14155550100") == InboundRoute(("client:alice",), None, ConferenceAttributes(record="true"))


def test_agents_at_desks_have_names_and_mail_addresses(path, settings):
    path.write_text(
        '[agents.dana]\nname = "Dana Scully"\nemail = "Dana@Example.com"\n[agents.fox]\nemail = "fox@example.com"\n'
        "[agents.walter]\n"
    )
    found = load_directory(settings())
    assert [found.agent_name(one) for one in ("dana", "fox", "walter", "alice")] == [
        "Dana Scully", "fox", "walter", "alice",
    ]  # fmt: skip
    people = ("dana@example.COM", "fox", "dana", "Dana", "Dana Scully", "alice", "")
    assert [found.identity_of(one) for one in people] == ["dana", "fox", "dana", "", "", "", ""]
    assert read_people(path) == {"client:dana": "Dana Scully", "client:fox": "fox", "client:walter": "walter"}


def test_a_mail_address_in_other_letters_is_someone_elses(path, settings):
    path.write_text('[agents.kim]\nemail = "Kim@Strasse.example"\n')
    found = load_directory(settings())
    assert found.identity_of("kIM@strasse.EXAMPLE") == "kim"
    for person in ("\u212aim@strasse.example", "kim@stra\u00dfe.example", "kim@\u017ftrasse.example"):
        assert found.identity_of(person) == ""


@each(
    "text, key, reason",
    [
        ('[agents."dana@crm"]', 'agents."…rm"', "an identity must be 1 to 121 letters"),
        ('[agents.dana]\nname = " "', "agents.dana.name", "must be 1 to 64 characters that people read"),
        ('[agents.dana]\nname = "a\\u0007b"', "agents.dana.name", "must be 1 to 64 characters that people read"),
        ('[agents.dana]\nemail = "a@b,c@d"', "agents.dana.email", "must be one mail address"),
        ('[agents.dana]\nmail = "a@b"', "agents.dana.mail", "no such key; known are name, email"),
        ('[agents.a]\nemail = "a@B"\n[agents.b]\nemail = "A@b"', "agents", "two agents have the same email"),
    ],
)
def test_wrong_agents_are_named_without_what_they_say(faults, text, key, reason):
    (problem,) = faults(text)
    assert problem.startswith(f"{key}: {reason}")
    assert "a@b" not in problem.lower()


def test_directory_is_empty_without_a_file_and_an_agent():
    found = load_directory(settings_with())
    assert found == Directory()
    assert found.inbound("+14155550100") == InboundRoute()


def test_nothing_in_it_shows_numbers_or_what_is_said(path, settings):
    path.write_text(WHOLE, "utf-8")
    found = load_directory(settings(CONFERRAL_TRANSFER_FALLBACK="billing"))
    shown = f"{found!r} {found.inbound('+14155550170')!r}"
    for hidden in ("4155550", "Gott", "alice", "bob"):
        assert hidden not in shown


# ---- names in settings and commands ------------------------------------------------------------------------------


def test_settings_with_invalid_names_are_reported_together(path, settings):
    path.write_text(WHOLE, "utf-8")
    with pytest.raises(SettingsError) as wrong:
        load_directory(settings(CONFERRAL_AGENT="sales", CONFERRAL_TRANSFER_FALLBACK="+18765550123"))
    agent, fallback = wrong.value.problems
    assert agent.startswith("CONFERRAL_AGENT: no destination is named sales in the directory; ")
    assert "; did you mean client:sales?; given: " in agent
    assert fallback.startswith("CONFERRAL_TRANSFER_FALLBACK: country JM is not in CONFERRAL_ALLOWED_DESTINATIONS; ")


@each("given, reason", [
    ("recal", "no place or destination has that name; did you mean recall?; given: "),
    ("client:bob,voice-mail", "no place or destination has that name; did you mean voicemail?; given: "),
    ("nobody", "no destination is named nobody in the directory; "),
    ("billing,,end", "place 2 is empty; given: "),
    ("billing,end,", "place 3 is empty; given: "),
])  # fmt: skip
def test_wrong_place_of_a_fallback_is_named(path, settings, given, reason):
    path.write_text(WHOLE, "utf-8")
    with pytest.raises(SettingsError) as wrong:
        load_directory(settings(CONFERRAL_TRANSFER_FALLBACK=given))
    assert wrong.value.problems[0].startswith(f"CONFERRAL_TRANSFER_FALLBACK: {reason}")


def test_name_close_to_a_place_is_a_name(path, settings):
    path.write_text('[destinations]\nrecaller = "client:bob"\n', "utf-8")
    assert load_directory(settings(CONFERRAL_INBOUND_FALLBACK="recaller")).default.fallback == ("client:bob",)


@pytest.mark.parametrize("text, found", [
    ("billing", CUSTOMER), ("client:billing", "client:billing"), ("+14155550124", "+14155550124"),
])  # fmt: skip
def test_name_or_address(text, found):
    assert resolve_address(text, {"billing": CUSTOMER}, ALLOWED).text == found


@each("text, reason", [
    ("sales", "no destination is named sales in the directory; an address is"),
    ("desk-4155550123", "no destination has that name in the directory; an address is"),
    ("jamaica", "country JM is not in CONFERRAL_ALLOWED_DESTINATIONS"),
    ("4155550123", "must be a number with + and country code"),
    ("911", "short and emergency numbers are never dialed"),
    ("two words", "must be a number with + and country code"),
])  # fmt: skip
def test_reason_repeats_no_number(text, reason):
    with pytest.raises(AddressError) as refused:
        resolve_address(text, {"jamaica": "+18765550123"}, ALLOWED)
    assert refused.value.reason.startswith(reason)
    assert "5550123" not in refused.value.reason


# ---- faults ------------------------------------------------------------------------------------------------------

NAME_RULE = "a name is 1 to 64 letters, digits, _, or -, with at least one letter"


def test_all_directory_errors_are_reported_at_once_with_their_keys(faults):
    text = """# our numbers
[destinations]
billing = "+18765550123"
"911" = "client:x"
end = "client:e"
number = 5

[inbound."+14155550170"]
agents = [
  "billing",
  "bob", "+19005550100",
]
beep = "loud"
max_participants = 251
bep = true
[inbound.4155550170]
agents = []
[inbound."+14155550171"]
agents = "client:x"
[inbound."+14155550172"]
fallback = ["client:x"]
[inbound."+14155550172".greeting]
[inbound."+14155550173"]
fallback = "recall"
[spare]
"""
    found = dict(line.split(": ", 1) for line in faults(text))
    assert list(found) == [
        "destinations.billing",
        'destinations."…11"',
        "destinations.end",
        "destinations.number",
        'inbound."+…70".agents, entry 2',
        'inbound."+…70".agents, entry 3',
        'inbound."+…70".beep',
        'inbound."+…70".max_participants',
        'inbound."+…70".bep',
        'inbound."…70"',
        'inbound."…70".agents',
        'inbound."+…71".agents',
        'inbound."+…72".greeting',
        'inbound."+…72".fallback',
        'inbound."+…73".fallback',
        "spare",
    ]
    assert found['inbound."+…72".fallback'] == "must be a string, with commas between the places"
    assert found['inbound."+…73".fallback'] == "recall is not possible here"
    assert found["destinations.billing"] == "country JM is not in CONFERRAL_ALLOWED_DESTINATIONS"
    assert found['destinations."…11"'] == NAME_RULE
    assert found['inbound."+…70".bep'].startswith("no such key; known are agents, mode, record, ")


@pytest.mark.parametrize("key, value", [
    ("mode", '"warm"'),
    ("mode", "[]"),
    ("record", '"yes"'),
    ("record", "1"),
    ("jitter_buffer_size", '"tiny"'),
    ("region", '"eu"'),
    ("region", '"us3"'),
    ("trim", "true"),
    ("recording_configuration", '""'),
    ("recording_configuration", '"a b"'),
    ("wait_url", '"tune.mp3"'),
    ("wait_url", '"https://example.com/a b"'),
    ("wait_url", '""'),
    ("after", f'"https://example.com/{"a" * 1981}"'),
    ("after", "1"),
    ("max_participants", "1"),
    ("max_participants", "2.0"),
    ("max_participants", "true"),
    ("time_limit", "0"),
    ("time_limit", "86401"),
    ("time_limit", '"5"'),
    ("hangup_on_star", '"true"'),
    ("greeting", '" "'),
    ("greeting", f'"{"a" * 501}"'),
    ("greeting", '"a\\nb"'),
    ("agents", str(["client:a"] * 11)),
])  # fmt: skip
def test_a_value_is_held_against_what_twilio_takes(faults, key, value):
    (fault,) = faults(f'[inbound."+14155550170"]\n{key} = {value}\n')
    assert fault.startswith(f'inbound."+…70".{key}: ')
    assert value.strip('"') not in fault.partition(": ")[2] or len(value) < 9


@pytest.mark.parametrize("text, where", [
    ("[destinations]\nanna = 'client:a'\nanna = 'client:b'\n", "line 3, column "),
    ("a = 1 +14155550123\n", "line 1, column 7"),
    ("[destinations]\nanna = [\n\n", "line 3: "),
])  # fmt: skip
def test_a_file_that_is_no_toml(faults, text, where):
    (fault,) = faults(text)
    assert fault.startswith(where)
    assert fault.endswith(": not valid TOML")


@pytest.mark.parametrize("text, fault", [
    (b"a = 1\nb = '\xff'\n", "line 2: must be UTF-8"),
    ("a = " + "[" * 5000, ": tables and arrays lie too deep in each other"),
])  # fmt: skip
def test_a_file_that_no_parser_can_read(faults, text, fault):
    assert faults(text) == [fault]


def test_a_file_that_is_not_there(tmp_path, settings):
    for path, why in ((tmp_path / "none.toml", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(SettingsError) as wrong:
            DirectoryFile(settings(CONFERRAL_DIRECTORY=str(path)))
        assert wrong.value.problems == (f"CONFERRAL_DIRECTORY: {path} can't be read ({why})",)
    with pytest.raises(SettingsError, match="CONFERRAL_DIRECTORY: contains a NUL character"):
        DirectoryFile(settings(CONFERRAL_DIRECTORY="a\0.toml"))


# ---- reading again -----------------------------------------------------------------------------------------------


def test_a_file_that_has_changed_is_read_again(path, settings):
    path.write_text(WHOLE, "utf-8")
    file = DirectoryFile(settings())
    path.write_text('[destinations]\nsales = "client:dora"\n', "utf-8")
    assert file.current.address_of("billing") == CUSTOMER, "nobody has asked for it yet"
    with capture_logs() as logs:
        file.reload()
    assert dict(file.current.destinations) == {"sales": "client:dora"}
    assert logs == [{"event": "directory_read", "log_level": "info", "destinations": 1, "numbers": 0}]


def test_invalid_directory_reload_keeps_old_file_and_logs_the_key(path, settings):
    path.write_text(WHOLE, "utf-8")
    file = DirectoryFile(settings())
    before = file.current
    path.write_text('[destinations]\nbilling = "+18765550123"\nsales = 5\n', "utf-8")
    with capture_logs() as logs:
        file.reload()
    assert file.current is before
    assert [(line["event"], line["log_level"]) for line in logs] == [("directory_refused", "error")] * 2
    assert [line["reason"].rpartition("directory.toml, ")[2] for line in logs] == [
        "destinations.billing: country JM is not in CONFERRAL_ALLOWED_DESTINATIONS",
        "destinations.sales: Input should be a valid string",
    ]
    path.unlink()
    file.reload()
    assert file.current is before


# ---- our own numbers ---------------------------------------------------------------------------------------------

ANOTHER = "+14155550105"


@each("text, changes, where", [
    ("", {"CONFERRAL_AGENT": NUMBER}, "CONFERRAL_AGENT"),
    (f'[destinations]\ndesk = "{NUMBER}"\n', {}, "destinations.desk"),
    (f'[destinations]\ndesk = "{ANOTHER}"\n', {}, "destinations.desk"),
    (f'[inbound."{SALES}"]\nagents = ["client:alice", "{SALES}"]\n', {}, 'inbound."+…01"'),
    (f'[inbound."{SALES}"]\nagents = ["client:alice", "+1 415 555-0102"]\n[inbound."{HELP}"]\n', {}, 'inbound."+…01"'),
    (f'[inbound."{SALES}"]\nmode = "conference"\n', {"CONFERRAL_AGENT": SALES}, "CONFERRAL_AGENT"),
    (f'[inbound."{SALES}"]\nagents = ["sip:4155550100@pbx.example"]\n', {}, 'inbound."+…01"'),
    (f'[inbound."{SALES}"]\nfallback = "voicemail, {HELP}"\n[inbound."{HELP}"]\n', {}, 'inbound."+…01"'),
    ("", {"CONFERRAL_INBOUND_FALLBACK": NUMBER}, "CONFERRAL_INBOUND_FALLBACK"),
    (f'[inbound."{SALES}"]\n', {"CONFERRAL_TRANSFER_FALLBACK": SALES}, "CONFERRAL_TRANSFER_FALLBACK"),
])  # fmt: skip
def test_a_number_of_our_own_is_no_place(path, settings, text, changes, where):
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_directory(settings(CONFERRAL_ALLOWED_DESTINATIONS="US,client:,sip:pbx.example", **changes), {ANOTHER})
    (problem,) = caught.value.problems
    assert where in problem
    assert "one of your own numbers is never dialed" in problem
    assert not re.search(r"\d{3}", problem.replace(str(path), ""))


def test_numbers_of_the_account_are_ours_once_they_were_read(path, settings):
    path.write_text(f'[destinations]\ndesk = "{ANOTHER}"\n[inbound."{SALES}"]\n')
    file = DirectoryFile(settings())
    assert [*file.own_numbers] == [NUMBER, SALES]
    file.own_numbers.account = frozenset({NUMBER, ANOTHER})
    assert ([*file.own_numbers], len(file.own_numbers)) == ([NUMBER, SALES, ANOTHER], 3)
    before = file.current
    file.reload()
    assert file.current is before  # refused now
