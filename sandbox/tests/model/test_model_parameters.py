"""Parameters of REST requests: what is ignored, and what strict mode refuses."""

import json
import runpy
from pathlib import Path

import pytest

import offhook.model
from model_scenario import BUSINESS, ModelScenario
from offhook.model.rest import parameters

DIAL = (("To", "client:bob"), ("From", BUSINESS), ("Twiml", "<Response/>"))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("Nonsense", "1", "Twilio has no parameter Nonsense"),
        ("timeout", "1", "Twilio has no parameter timeout, but Timeout: names are case-sensitive"),
        ("MachineDetectionSpeechThreshold", "2 s", r"MachineDetectionSpeechThreshold must match \d+, not '2 s'"),
        ("Record", "perhaps", "Record must match (?i:true|false), not 'perhaps'"),
        ("Byoc", "BY1", "Byoc must match ^BY[0-9a-fA-F]{32}$, not 'BY1'"),
    ],
)
def test_what_twilio_does_not_list_is_a_warning_or_refused(name: str, value: str, problem: str) -> None:
    story, strict = ModelScenario(), ModelScenario(strict=True)

    assert story.rest("POST", "/Calls.json", *DIAL, (name, value))[0] == 201
    status, body = strict.rest("POST", "/Calls.json", *DIAL, (name, value))

    (entry,) = story.errors
    assert (entry.code, entry.level, entry.message) == (20001, "warning", f"POST /Calls.json: {problem}")
    assert (status, body["code"], body["message"]) == (400, 20001, entry.message)
    assert strict.model.state.calls == {}


@pytest.mark.parametrize("strict", [False, True])
def test_what_only_twilio_has_is_a_warning_in_both_modes(*, strict: bool) -> None:
    story = ModelScenario(strict=strict)
    assert story.rest("POST", "/Conferences/room/Participants.json", *DIAL[:2], ("CallerId", "Ann"))[0] == 201
    (entry,) = story.errors
    assert (entry.code, entry.level) == (0, "warning")
    operation = "POST /Conferences/{}/Participants.json"
    assert entry.message == f"Twilio has CallerId of {operation}; the sandbox does not model it, and ignores it"


@pytest.mark.parametrize("path", ["/Calls.json", "/Conferences/room/Participants.json"])
@pytest.mark.parametrize("identity", ["dana@example.com", "dana.r", "dana-r", "d" * 122, "dana.r?name=Ada"])
def test_identity_that_twilio_does_not_dial_is_a_warning_or_refused(path: str, identity: str) -> None:
    story, strict = ModelScenario(), ModelScenario(strict=True)
    dial = (("To", f"client:{identity}"), *DIAL[1 : 3 if path == "/Calls.json" else 2])

    assert story.rest("POST", path, *dial)[0] == 201
    assert [(entry.code, entry.level) for entry in story.errors] == [(21211, "warning")]
    assert strict.refused("POST", path, *dial) == (400, 21211)
    assert strict.model.state.calls == {}
    assert strict.rest("POST", path, ("To", "client:Dana_40r?name=A.b"), *dial[1:])[0] == 201


def test_value_that_may_be_a_secret_is_not_shown(story: ModelScenario) -> None:
    story.rest("POST", "/Calls.json", *DIAL, ("ClientNotificationUrl", "https://secret.example"))
    story.call_in("<Response><Dial referUrl='https://secret.example'><Sip>sip:a@b.example</Sip></Dial></Response>")
    assert [entry.message for entry in story.errors] == [
        f"Twilio has {what}; the sandbox does not model it, and ignores it"
        for what in ("ClientNotificationUrl of POST /Calls.json", "referUrl of <Dial>")
    ]


def test_what_concerns_carriers_and_sound_is_no_remark(story: ModelScenario) -> None:
    accepted = ("SipAuthPassword", "secret"), ("CallReason", "Your order"), ("MachineDetectionSpeechThreshold", "2000")
    assert story.refused("POST", "/Calls.json", *DIAL, *accepted) == (201, None)
    assert story.errors == []


def test_other_resources_are_described_too(story: ModelScenario) -> None:
    story.rest("GET", "/IncomingPhoneNumbers.json", ("Beta", "true"))
    assert [it.message for it in story.errors] == [
        "Twilio has Beta of GET /IncomingPhoneNumbers.json; the sandbox does not model it, and ignores it"
    ]


def test_what_is_modeled_is_no_remark_and_keeps_its_own_errors() -> None:
    story = ModelScenario(strict=True)
    first = ("Record", "false"), ("AsyncAmd", "False"), ("MachineDetection", "Enable"), ("StatusCallback", "")
    assert story.refused("POST", "/Calls.json", *DIAL, *first) == (201, None)
    for name, code in (("Url", 21205), ("FallbackUrl", 21205), ("StatusCallback", 21609)):
        assert story.refused("POST", "/Calls.json", *DIAL, (name, "nonsense")) == (400, code)
    participants = "/Conferences/room/Participants.json"
    assert story.refused("POST", participants, *DIAL[:2], ("WaitUrl", "nonsense")) == (400, 21205)
    assert story.refused("GET", "/Calls.json", ("Status", "busy"), ("PageSize", "5")) == (200, None)
    assert story.errors == []


@pytest.mark.parametrize("strict", [False, True])
def test_unknown_event_is_a_warning_as_observed(strict: bool) -> None:
    story = ModelScenario(strict=strict)
    events = (("StatusCallback", "http://127.0.0.1:9/status"), ("StatusCallbackEvent", "foo"))
    assert story.rest("POST", "/Calls.json", *DIAL, *events)[0] == 201
    assert [(entry.code, entry.level) for entry in story.errors] == [(21626, "warning")]


@pytest.mark.parametrize("operation", sorted(parameters.MODELED))
def test_modeled_parameters_are_twilios_and_are_read(operation: str) -> None:
    names = set(parameters.MODELED[operation].split())
    known = parameters.description()["operations"].get(operation)
    assert known is None or names <= set(known)
    folder = Path(offhook.model.__file__).parent
    code = "".join(path.read_text() for path in folder.rglob("*.py") if path.name != "parameters.py")
    # The model does these anyway: it beeps silently, and has one page of webhook rules.
    read = {name.rstrip("<>") for name in names} - {"BeepOnExit", "pageSize"}
    unread = {name for name in read if f'"{name}"' not in code}
    assert {name for name in unread if f'"{name.removesuffix("Method").removesuffix("Event")}"' not in code} == set()


def test_description_names_its_source() -> None:
    source = parameters.description()["source"]
    assert source["repository"] == "https://github.com/twilio/twilio-oai"
    assert len(source["commit"]) == 40


def test_script_makes_the_description(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "rest_parameters.py"
    form = {
        "Muted": {"type": "boolean", "description": "Anything value other than `true` or `false` is interpreted as"},
        "Status": {"$ref": "#/components/schemas/status"},
        "Events": {"type": "array", "items": {"type": "string"}},
        "Url": {"type": "string", "format": "uri"},
    }
    path = "/2010-04-01/Accounts/{AccountSid}/Calls/{Sid}.json"
    given = {
        "info": {"license": {"name": "Apache 2.0"}},
        "paths": {
            path: {"post": {"requestBody": {"content": {"form": {"schema": {"properties": form}}}}}},
            "/2010-04-01/Accounts/{Sid}.json": {"get": {}},
            "/2010-04-01/Accounts.json": {"post": {}},
        },
        "components": {"schemas": {"status": {"type": "string", "enum": ["canceled", "completed"]}}},
    }
    (tmp_path / "given.json").write_text(json.dumps(given))

    runpy.run_path(str(script))["main"](tmp_path / "given.json", "c0ffee", tmp_path / "made.json")

    made = json.loads((tmp_path / "made.json").read_text())
    assert made["source"]["commit"] == "c0ffee"
    assert made["operations"] == {
        "POST /Calls/{}.json": {"Muted": "", "Status": "canceled|completed", "Events": "", "Url": "(https?://.+)?"},
        "GET .json": {},
    }
