"""Joins from templates are what twilio-python would build for the same names."""

import itertools
from typing import Any

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.twiml import DocumentTemplates, TwimlBuilder

OPTIONS: list[dict[str, Any]] = [
    {},
    {"attempt": 2},
    {"start_on_enter": False, "wait_audio": "music", "with_greeting": True, "opens_session": True},
    {"wait_audio": "ringback", "attributes": ConferenceAttributes(record="true", trim="trim-silence")},
    {"default_music": True, "start_on_enter": True, "supervises": True},
    {"attributes": ConferenceAttributes(time_limit_s=60, hangup_on_star=True, wait_url="https://example.com/~0~?a&b")},
]
NAMES = [
    ("CA1", "agent-1", "CF1", ""),
    ("CA2", "target-3", "CF2", "CA2"),
    ("call_7", "call_7", "call_7", "room-7"),
    ("a b&c", 'label"<', "CF~1~", "~0~"),
    ("x" * 64, "x" * 64, "x" * 128, "x" * 128),
]


def builder(public_url: str = "https://example.com") -> TwimlBuilder:
    return TwimlBuilder(CallbackUrls(public_url), language="en-US", voice=None)


def join(documents: TwimlBuilder, names: tuple[str, str, str, str], party: str, options: dict[str, Any]) -> str:
    session_id, label, conference, conference_name = names
    return documents.join_conference(
        session_id, party, label=label, conference=conference, conference_name=conference_name, **options
    )


@pytest.mark.parametrize("public_url", ["https://example.com", "https://example.com/~2~"])
def test_join_from_a_template_is_what_the_library_builds(public_url) -> None:
    documents = builder(public_url)
    for _ in range(2):
        for names, party, options in itertools.product(NAMES, ("agent", "customer"), OPTIONS):
            # A fresh builder has no templates.
            assert join(documents, names, party, options) == join(builder(public_url), names, party, options)


def test_second_join_needs_no_library(monkeypatch) -> None:
    documents = builder()
    join(documents, NAMES[0], "agent", {})
    monkeypatch.setattr(documents, "_join", None)
    document = join(documents, NAMES[1], "agent", {})
    assert "party=agent&amp;session=CA2&amp;v=1" in document
    assert ">CF2<" in document


def test_briefing_is_in_no_template() -> None:
    documents = builder()
    briefed = documents.join_conference("CA1", "target", label="target-3", conference="CF1", brief="a debt")
    assert "a debt" in briefed
    assert "a debt" not in documents.join_conference("CA2", "target", label="target-3", conference="CF1")
    assert "a debt" not in str(vars(documents._templates))


def test_number_of_templates_is_bounded() -> None:
    templates = DocumentTemplates()
    kept = []
    for kind in range(2 * 512 + 5):
        assert templates.fill(kind, ["name"], lambda names, kind=kind: f"{kind} {names[0]}") == f"{kind} name"
        kept.append(len(templates._kept))
    assert kept == [*range(1, 513), *range(1, 513), *range(1, 6)]
