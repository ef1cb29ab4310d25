"""The calls or the transfers of a period as CSV: a row for each."""

import csv
import re
from collections.abc import Iterable
from datetime import datetime, tzinfo
from io import StringIO
from typing import Any, Literal

from conferral.outcomes.calls import CallSummary, call_key
from conferral.outcomes.outcome import OutcomeRecord
from conferral.outcomes.report import NOT_ANSWERED, OutcomeReport
from conferral.runtime.redaction import display_address
from conferral.statemachine.reasons import NOT_DIALED

#: Where a spreadsheet takes what follows for a formula: also after a semicolon, which separates cells in many places.
#: Source: OWASP, CSV Injection.
_FORMULA = re.compile(r"(^|; *)(?=[=+\-@])")
#: Numbers, whole or masked, which are none.
_NUMBERS = re.compile(r"[+\d…, ]*")
#: A call's times that are summed over its sessions.
_CALL_S = ("queued_s", "bridged_s", "conference_s", "participant_s", "held_s", "alone_s")


#: What has a row.
CsvKind = Literal["calls", "transfers"]


class ReportCsv:
    """A file that grows by outcomes: a row for each transfer, or call.

    A call is all sessions of one call to one number, and its times count from the first. Numbers are masked unless
    `full`; times are in the given zone, by default the machine's.
    """

    def __init__(self, kind: CsvKind, *, full: bool, zone: tzinfo | None = None) -> None:
        self._kind = kind
        self._full = full
        self._zone = zone
        #: The sessions of a call, or one transfer.
        self._rows: dict[object, list[OutcomeRecord]] = {}

    def add(self, outcome: OutcomeRecord) -> None:
        """Add an outcome of this kind; ignore others."""
        if self._kind == "transfers" and outcome.kind == "transfer":
            self._rows[outcome.id] = [outcome]
        elif self._kind == "calls" and outcome.kind == "session":
            self._rows.setdefault(call_key(outcome.session, outcome.number), []).append(outcome)

    def file(self, report: OutcomeReport) -> bytes:
        """Return the file, with a byte order mark: Excel needs it for UTF-8."""
        row_of = self._transfer if self._kind == "transfers" else self._call
        text = StringIO()
        writer = csv.DictWriter(text, row_of([OutcomeRecord()]), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        rows = (one for one in self._rows.values() if self._kind == "transfers" or report.includes(CallSummary.of(one)))
        writer.writerows({name: _cell(value) for name, value in row_of(one).items()} for one in rows)
        return text.getvalue().encode("utf-8-sig")

    def _transfer(self, outcomes: list[OutcomeRecord]) -> dict[str, Any]:
        (outcome,) = outcomes
        return {
            **self._shared(outcome, outcome),
            **{name: getattr(outcome, name) for name in ("mode", "result", "reason", "code")},
            "to": self._addresses(outcome.to),
            "landed_on": self._address(outcome.landed_on),
            **self._rung([outcome]),
            **{name: getattr(outcome, name) for name in ("answer_s", "hold_s", "consult_s")},
        }

    def _call(self, sessions: list[OutcomeRecord]) -> dict[str, Any]:
        sessions = sorted(sessions, key=_started_s)
        first, last = sessions[0], sessions[-1]
        call = CallSummary.of(sessions)
        agents = [agent for one in sessions for agent in one.agents]
        return {
            **self._shared(first, last),
            "sessions": len(sessions),
            "offered": _flag(is_true=call.is_offered),
            "abandoned": _flag(is_true=call.is_abandoned),
            "outside_hours": _flag(is_true=call.is_closed),
            "reason": last.reason,
            "landed_on": self._address(last.landed_on),
            "agents": self._addresses(agent["address"] or "unknown" for agent in agents),
            **self._rung(sessions),
            "answer_s": call.wait_s if call.is_answered else None,
            "wait_s": call.wait_s if call.is_offered else None,
            "talk_s": _sum(agent["talk_s"] for agent in agents),
            **{name: _sum(getattr(one, name) for one in sessions) for name in _CALL_S},
        }

    def _shared(self, first: OutcomeRecord, last: OutcomeRecord) -> dict[str, Any]:
        return {
            "started_at": self._local(first.started_at),
            "ended_at": self._local(last.ended_at),
            "session": first.session,
            "number": self._address(first.number),
            "customer": self._address(first.customer),
            **{name: getattr(last, name) for name in ("direction", "ref", "by")},
        }

    def _rung(self, outcomes: Iterable[OutcomeRecord]) -> dict[str, str]:
        """Return who was rung, and who of these did not answer."""
        attempts = [(one["to"] or "unknown", one["result"]) for outcome in outcomes for one in outcome.attempts]
        return {
            "rung": self._addresses(to for to, result in attempts if result not in NOT_DIALED),
            "not_answered": self._addresses(to for to, result in attempts if result in NOT_ANSWERED),
        }

    def _addresses(self, addresses: Iterable[str]) -> str:
        return ", ".join(map(self._address, dict.fromkeys(addresses)))

    def _address(self, address: str) -> str:
        return display_address(address, full=self._full)

    def _local(self, at: datetime | None) -> str:
        return at.astimezone(self._zone).isoformat(timespec="seconds") if at else ""


def _started_s(outcome: OutcomeRecord) -> float:
    return outcome.started_at.timestamp() if outcome.started_at else 0.0


def _flag(*, is_true: bool) -> str:
    return "true" if is_true else ""


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known else None


def _cell(value: str | float | None) -> str | float | None:
    """Return a value that a spreadsheet takes for no formula, on one line.

    >>> _cell("=1+1"), _cell("a;=1+1"), _cell("+…23"), _cell(None)
    ("'=1+1", "a;'=1+1", '+…23', None)
    """
    if not isinstance(value, str):
        return value
    text = "".join(one if one.isprintable() else " " for one in value).strip()
    return text if _NUMBERS.fullmatch(text) else _FORMULA.sub(r"\1'", text)
