"""Every reason that the state machine gives is in the catalog, with words on every surface."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conferral.operations import catalog
from conferral.statemachine.events import GateDecision
from conferral.statemachine.machine import step
from conferral.statemachine.reasons import REASONS, EndReason, Reason, reported_reason
from conferral.statemachine.session import Session
from tests.statemachine.histories import load

ROOT = Path(__file__).resolve().parents[2]
#: Of attempts and parties that took part, of a fallback's places, and of outcomes.
NOT_REASONS = {"", "answered", "completed", "recorded", "ended"}
_GIVES = {"note_gone", "close_attempt", "change_attempt", "fail_transfer", "report_transfer", "report_step",
          "change_transfer", "finish_command", "fail_commands", "fail_queued_commands"}  # fmt: skip
_WORD = re.compile(r"[a-z]+(-[a-z]+)*")


def decided() -> Iterator[str]:
    """The reasons of transfers, attempts, and commands in recorded histories."""
    for history, _ in load():
        session = Session(history.session_id)
        for one in history.decisions:
            decision = step(session, one.event, one.now_ms, history.policy)
            yield from (report.reason for report in decision.reports)
            taken = decision.session
            session = taken if taken.version != session.version else session
            if session.transfer is not None:
                yield from (part.rpartition(" ")[2] for part in session.transfer.reason.split(", "))
                yield from (attempt.result for attempt in session.transfer.attempts)


def written() -> Iterator[str]:
    """Bare words that the actions give as a reason or a result."""
    for path in (ROOT / "statemachine" / "actions").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _GIVES:
                values = [*node.args, *(one.value for one in node.keywords if one.arg in ("reason", "result"))]
            elif isinstance(node, ast.Assign) and re.search(r"\breason\b", ast.unparse(node.targets[0])):
                values = [node.value]
            for value in values:
                texts = (one.value for one in ast.walk(value) if isinstance(one, ast.Constant))
                yield from (text for text in texts if isinstance(text, str) and _WORD.fullmatch(text))


def test_every_reason_that_is_given_is_an_entry_of_the_catalog():
    given = {str(one) for one in (*decided(), *GateDecision)}
    words = {one for one in given if _WORD.fullmatch(one)}  # others are sentences
    assert words - NOT_REASONS - {GateDecision.ACCEPTED} <= REASONS.keys()
    assert set(written()) <= NOT_REASONS, "use a member of Reason or EndReason"


def test_no_word_of_twilios_is_given_as_a_reason():
    for left_reason in ("moderator_ended_conference", "participant_updated_via_api", "in-progress", "unheard-of"):
        assert reported_reason(left_reason) in (Reason.LEFT, Reason.HUNG_UP)


def test_every_surface_has_words_for_every_reason():
    desk = (ROOT / "webhooks/desk/static/reasons.js").read_text("utf-8")
    reasons = (ROOT / "docs/reference/reasons.md").read_text("utf-8")
    in_urls = reasons.partition("\n## Why a caller comes back\n")[2].partition("\n## ")[0]
    for word, reason in REASONS.items():
        shown = [
            catalog.reason_text(word, "bob"), catalog.left_note(word), catalog.transfer_failure(word),
            catalog.transfer_failure(f"busy, fallback {word}"), catalog.command_reason("add", word, ""),
            *re.findall(rf'^  "?{word}"?: "(.*)",$', desk, re.MULTILINE),
        ]  # fmt: skip
        assert len(shown) == 6, f"the desk has no words for {word}"
        assert all("{" not in text and (text != word or word == Reason.LEFT) for text in shown), (word, shown)
        assert f"`{word}`" in reasons
        assert not reason.words.is_in_urls or f"| `{word}` |" in in_urls
    assert {one for one in REASONS.values() if one.words.is_bad} <= {*EndReason}
