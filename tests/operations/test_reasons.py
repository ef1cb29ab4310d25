"""Every reason that the state machine gives has words on every surface."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conferral.operations import catalog
from conferral.statemachine.events import GateDecision
from conferral.statemachine.machine import step
from conferral.statemachine.reasons import DIAL_REASONS, TRANSFER_REASONS
from conferral.statemachine.session import Session
from tests.statemachine.histories import load

ROOT = Path(__file__).resolve().parents[2]
REASONS = DIAL_REASONS | TRANSFER_REASONS
#: Of attempts and parties that took part, of a fallback's places, and of a voicemail.
NOT_REASONS = {"", "answered", "completed", "recorded", "ended"}
_GIVES = {"note_gone", "close_attempt", "change_attempt", "fail_transfer", "report_transfer", "change_transfer"}
_WORD = re.compile(r"[a-z]+(-[a-z]+)*")


def decided() -> Iterator[str]:
    """The reasons of transfers and attempts in recorded histories."""
    for history, _ in load():
        session = Session(history.session_id)
        for one in history.decisions:
            taken = step(session, one.event, one.now_ms, history.policy).session
            session = taken if taken.version != session.version else session
            if session.transfer is not None:
                yield from (part.rpartition(" ")[2] for part in session.transfer.reason.split(", "))
                yield from (attempt.result for attempt in session.transfer.attempts)


def written() -> Iterator[str]:
    """Words that the actions give as a reason or a result."""
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


def test_every_reason_that_is_given_is_listed():
    given = {*decided(), *written(), *GateDecision} - {GateDecision.ACCEPTED}
    assert {str(one) for one in given} - NOT_REASONS <= REASONS


def test_every_surface_has_words_for_every_reason():
    assert catalog.DIAL_FAILURES.keys() == DIAL_REASONS
    assert catalog.TRANSFER_FAILURES.keys() == REASONS
    assert catalog.LEFT_REASONS.keys() >= DIAL_REASONS
    script = (ROOT / "webhooks/desk/static/session.js").read_text("utf-8")
    listed = re.search(r"const REASONS = \{\n(.*?)\n\};", script, re.DOTALL)
    assert listed is not None
    assert {line.split(":")[0].strip(' "') for line in listed[1].splitlines()} == REASONS
    page = (ROOT / "docs/commands.md").read_text("utf-8")
    assert not [word for word in REASONS if f"`{word}`" not in page]
