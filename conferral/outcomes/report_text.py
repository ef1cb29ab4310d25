"""A report in sentences and tables, for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from conferral.operations import catalog
from conferral.outcomes.calls import COUNTED
from conferral.outcomes.report import DURATIONS, MINUTES, NOT_ANSWERED, PLACES, Table, places_text, worded
from conferral.runtime.text import join_words

#: Rows of a table for people (count); JSON has all.
ROWS_MAX = 20


def _shown(iso_time: str) -> str:
    return datetime.fromisoformat(iso_time).isoformat(" ", "minutes")


def period_line(data: Mapping[str, Any]) -> str:
    """Return the period, each time with its offset from UTC."""
    return f"{_shown(data['since'])} to {_shown(data['until'])}"


def totals(data: Mapping[str, Any]) -> list[str]:
    """Return what happened, in a few sentences."""
    results, rung, answer = data["results"], data["rung"], data["durations"]["transfer_answer"]
    if not (data["calls"] or results or data["voicemails"] or data["parks"]):
        return ["Nothing ended in this period. Choose another."]
    found = join_words([f"{count:,} {name}" for name, count in results.items()], "and")
    counted = f"{_counted(data['calls'], 'call')} ended, and {_counted(sum(results.values()), 'transfer')}"
    sentences = [f"{counted}: {found}." if found else f"{counted}."]
    if (total := data["total"])["offered"]:
        answered, soon, abandoned = (_share(total, name) for name in ("answered", "answered_within", "abandoned"))
        counted = f"{answered} answered, {soon} within {data['within_s']:g} s; {abandoned} abandoned"
        sentences.append(f"{_counted(total['offered'], 'call')} offered to agents: {counted}.")
    if (queue := data["durations"]["call_queue"])["count"]:
        waited = f"median {_seconds(queue['median_s'])}, longest {_seconds(queue['longest_s'])}"
        sentences.append(f"{_counted(queue['count'], 'call')} waited in a queue: {waited}.")
    if data["parks"]:
        parked = join_words([f"{count:,} {name}" for name, count in data["parks"].items()], "and")
        sentences.append(f"Parked calls: {parked}.")
    if data["voicemails"]:
        sentences.append(f"{_counted(data['voicemails'], 'message')} recorded.")
    if rung:
        silent = [f"{one['to']} ({one['not_answered']:,})" for one in rung if one["not_answered"]]
        missed, dialed = (sum(one[name] for one in rung) for name in ("not_answered", "rung"))
        by = f": {', '.join(catalog.limit_notes(silent, 3))}" if silent else ""
        sentences.append(f"{missed:,} of {_counted(dialed, 'ring')} not answered{by}.")
    if answer["count"]:
        within = f"within {_seconds(answer['median_s'])}, 95% within {_seconds(answer['p95_s'])}"
        sentences.append(f"Half of the transfers were answered {within}.")
    return sentences


def report_notes(data: Mapping[str, Any]) -> list[str]:
    """Return what the report lacks, in sentences."""
    found = []
    if data["trimmed"]:
        found.append(
            "Redis may no longer have all outcomes of this period: the oldest are removed "
            "(CONFERRAL_OUTCOMES_KEPT, CONFERRAL_OUTCOMES_TTL), or conferral forget has erased them. "
            "Redis before 7 can't tell whether any were."
        )
    if data["malformed"]:
        found.append(f"Left out, because they can't be read: {_counted(data['malformed'], 'outcome')}.")
    return found


def tables(data: Mapping[str, Any], rows_max: int = ROWS_MAX) -> list[Table]:
    """Return the tables that have rows, the most important first."""
    counted = NOT_ANSWERED | {"answered"}
    rung = [
        (one["to"], *(f"{one[name]:,}" for name in ("not_answered", "answered", "rung")), _seconds(one["longest_s"]),
         ", ".join(f"{catalog.left_note(name)}: {number:,}" for name, number in one["results"].items()
                   if name not in counted))
        for one in data["rung"]
    ]  # fmt: skip
    durations = [
        (DURATIONS[key], f"{one['count']:,}", *(_seconds(one[name]) for name in ("median_s", "p95_s", "longest_s")))
        for key, one in data["durations"].items()
        if one["count"]
    ]
    transfers = [
        (mode, *(f"{counts.get(one, 0):,}" for one in data["results"])) for mode, counts in data["transfers"].items()
    ]
    minutes = [(MINUTES[key], f"{value:,.1f}") for key, value in data["minutes"].items() if data["calls"]]
    places = partial(places_text, names=PLACES, full=True)
    of_rung = ("destination", ">not answered", ">answered", ">rung", ">longest ring", "otherwise")
    agents = [
        (one["address"], *(f"{one[name]:,}" for name in ("rung", "answered", "missed", "busy", "declined", "calls")),
         _minutes(one["talk_s"]), _minutes(one["talk_s"] / (one["calls"] or 1)), f"{one['holds']:,}")
        for one in data["agents"]
    ]  # fmt: skip
    numbers = [
        (one["number"], *(f"{one[name]:,}" for name in ("calls", "transfers", "failed"))) for one in data["numbers"]
    ]
    answering = [
        (one["number"], *(f"{one[name]:,}" for name in COUNTED[1:]), _waited(one["wait_median_s"]),
         _waited(one["wait_longest_s"]))
        for one in data["numbers"]
        if one["inbound"]
    ]  # fmt: skip
    within = f">within {data['within_s']:g} s"
    of_answering = ("number", ">offered", ">answered", within, ">abandoned", ">voicemail", ">returned",
                    ">outside hours", ">median wait", ">longest wait")  # fmt: skip
    of_agents = ("agent", ">rung", ">answered", ">missed", ">busy", ">declined", ">calls", ">talk time", ">per call",
                 ">holds")  # fmt: skip
    of_numbers = ("number", ">calls", ">transfers", ">failed transfers")
    of_durations = ("time", ">count", ">median", ">95%", ">longest")
    found = [
        Table("answering", "How calls were answered", of_answering, answering),
        Table("rung", "Who was rung, and who did not answer", of_rung, rung),
        Table("agents", "Agents", of_agents, agents),
        Table("transfers", "Transfers", ("mode", *(f">{one}" for one in data["results"])), transfers),
        _counts("parks", "Parked calls", "result", data["parks"]),
        Table("numbers", "Calls by number", of_numbers, numbers),
        Table("durations", "Time to answer, queues, holds, and consults", of_durations, durations),
        _counts(
            "failures", "Why transfers failed", "reason", worded(data["failure_reasons"], catalog.transfer_failure)
        ),
        _counts("fallbacks", "Where fallbacks took callers", "place", worded(data["landed_on"], places)),
        _counts("ends", "Why calls ended", "reason", worded(data["end_reasons"], catalog.reason_text)),
        Table("minutes", "Minutes", ("time", ">minutes"), minutes),
    ]
    return [one._replace(rows=_cut(one.rows, rows_max)) for one in found if one.rows]


def _counts(name: str, title: str, column: str, counts: Mapping[str, int]) -> Table:
    return Table(name, title, (column, ">count"), [(one, f"{count:,}") for one, count in counts.items()])


def _cut(rows: Sequence[Sequence[str]], rows_max: int) -> Sequence[Sequence[str]]:
    more = len(rows) - rows_max
    return rows if more <= 1 else [*rows[:rows_max], (f"and {more:,} more", *[""] * (len(rows[0]) - 1))]


def _share(total: Mapping[str, Any], name: str) -> str:
    return f"{total[name]:,} ({round(100 * total[name] / total['offered'])}%)"


def _waited(value_s: float | None) -> str:
    return "" if value_s is None else _seconds(value_s)


def _seconds(value_s: float | None) -> str:
    return f"{value_s or 0:,.1f} s"


def _minutes(value_s: float) -> str:
    return f"{value_s / 60:,.1f} min"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
