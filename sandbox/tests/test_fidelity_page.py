"""The fidelity page names each choice of `Behavior`, and where each statement comes from."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from offhook.model.behavior import Behavior

PAGE = (Path(__file__).parents[1] / "docs" / "fidelity.md").read_text("utf-8")
SOURCE = re.compile(
    r"\]\(http|\b(capture|our reading|the same|these pages|twilio-python|Twilio's (changelog|samples))\b"
)
CHOICES = [it for it in fields(Behavior) if get_type_hints(Behavior)[it.name] is not float]


def tables() -> list[list[str]]:
    return [table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda it: it.name)
def test_choice_is_on_the_page_with_its_variants_and_the_default_first(choice: Any) -> None:
    (row,) = re.findall(rf"^\| `{choice.name}` \|.*$", PAGE, re.MULTILINE)
    shown = re.findall(r"`([^`]+)`", row.split(" | ")[1])
    variants = get_args(get_type_hints(Behavior)[choice.name]) or (True, False)

    listed = [it for it in shown if it in {str(variant) for variant in variants}]
    assert (listed[0], sorted(listed)) == (str(choice.default), sorted(map(str, variants)))


def test_each_statement_about_twilio_has_a_source() -> None:
    for table in tables():
        if table[0].endswith("| Source |"):
            for row in table[2:]:
                assert SOURCE.search(row.rsplit(" | ", 1)[1]), row


def test_choice_that_the_page_names_exists() -> None:
    named = set(re.findall(r"choice `(\w+)`", PAGE))

    assert named <= {it.name for it in CHOICES}
