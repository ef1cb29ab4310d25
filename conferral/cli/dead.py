"""`dead`: list, show, retry, and drop dead letters."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from conferral.cli import output
from conferral.cli.options import App, AsJson, Full, Yes, require_no_options
from conferral.cli.outcomes import resend_undelivered
from conferral.operations.errors import CommandNotDoneError

if TYPE_CHECKING:
    from conferral.operations.dead_letters import BulkResult, DeadLetter, DeadLetters

T = TypeVar("T")
LetterIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, as in `conferral dead list`.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters, or all that match --reason.")]


def _require_nonempty(reason: str | None) -> str | None:
    """Reject an empty reason: an unset variable must not select all."""
    if reason == "":
        raise typer.BadParameter("must not be empty; leave it out to select all")
    return reason


Reason = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Only dead letters with exactly this reason.", callback=_require_nonempty),
]

Limit = Annotated[int, typer.Option(metavar="COUNT", help="How many to list.", min=1, max=500)]


def dead(
    context: typer.Context, reason: Reason = None, limit: Limit = 50, full: Full = False, as_json: AsJson = False
) -> None:
    """List, retry, or delete dead letters.

    \b
    Examples:
      conferral dead
      conferral dead show 1800000000123-0
      conferral dead --reason "processing failed" --json | jq -r '.[].id'
      conferral dead retry 1800000000123-0
      conferral dead drop --all --reason "missing field type"

    Dead letters are messages that could not be processed. Other messages go on. `retry` puts them back on their
    stream. The newest come first.
    """
    if context.invoked_subcommand is None:
        list_letters(reason, limit, full=full, as_json=as_json)
        return
    require_no_options(context)


def list_letters(reason: Reason = None, limit: Limit = 50, full: Full = False, as_json: AsJson = False) -> None:
    """List dead letters, newest first.

    \b
    Examples:
      conferral dead list
      conferral dead list --reason "missing field type" --limit 10
    """

    from conferral.operations.dead_letters import UNDELIVERED

    async def newest_and_counts(
        dead: "DeadLetters",
    ) -> "tuple[tuple[DeadLetter, ...], dict[str, int], list[DeadLetter]]":
        letters = await dead.newest(limit, reason or "", full=full)
        undelivered = await dead.undelivered(limit, full=full) if reason in (None, UNDELIVERED) else []
        return letters, {group.reason: group.count for group in await dead.groups()}, undelivered

    letters, groups, undelivered = _with_dead_letters(newest_and_counts)
    if as_json:
        output.print_json([_as_json(letter) for letter in (*letters, *undelivered)])
        return
    if undelivered:
        output.print_entries(map(_entry, undelivered))
        output.print_note("outcomes above were not delivered; `conferral dead resend --all` sends them again")
    if letters:
        output.print_entries(map(_entry, letters))
    count = sum(groups.values())
    reasons = ", ".join(f"{number} {one or 'without a reason'}" for one, number in groups.items())
    unmatched = "none with this reason; " if reason and not letters and count else ""
    output.print_note(f"{unmatched}{_count_text(count)}: {reasons}" if count else "no dead letters")


def show_letter(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Id, as in `conferral dead list`.")],
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its fields.

    \b
    Examples:
      conferral dead show 1800000000123-0
      conferral dead show 1800000000123-0 --json
    """
    letter = _with_dead_letters(lambda dead: dead.find(letter_id, full=full))
    if letter is None:
        raise CommandNotDoneError(f"no dead letter {letter_id} found")
    if as_json:
        output.print_json(_as_json(letter))
        return
    origin = {"id": letter.id, "at": _at(letter), "from": f"{letter.source} {letter.entry_id}"}
    retried = f"no: {letter.not_retryable_reason}" if letter.not_retryable_reason else "yes"
    for name, value in {**origin, "reason": letter.reason, "retry": retried}.items():
        output.print_line(f"{name:<15} {value}")
    output.print_line()
    for name, value in letter.fields.items():
        output.print_line(f"{name:<15} {value}")


def _entry(letter: "DeadLetter") -> output.Entry:
    fields = " ".join(f"{name}={value}" for name, value in letter.fields.items() if name not in ("type", "session"))
    what = f"can't be retried: {letter.not_retryable_reason}" if letter.not_retryable_reason else fields
    lines = filter(None, (f"{letter.type} {letter.session}".strip(), letter.reason, what))
    return output.Entry(letter.id, letter.source, f"{_at(letter)} UTC", tuple(lines))


def _at(letter: "DeadLetter") -> str:
    from conferral.storage.codecs.text_codec import to_iso

    return to_iso(letter.at_ms)[:19].replace("T", " ")


def _as_json(letter: "DeadLetter") -> dict[str, Any]:
    from dataclasses import asdict

    from conferral.storage.codecs.text_codec import to_iso

    fields = asdict(letter)
    del fields["at_ms"]
    return {"id": fields.pop("id"), "at": to_iso(letter.at_ms), **fields}


def retry_letters(
    ids: LetterIds = None, everything: All = False, reason: Reason = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Put dead letters back on their stream, oldest first.

    \b
    Examples:
      conferral dead retry 1800000000123-0
      conferral dead retry --all --reason "processing failed"
      conferral dead retry --all --yes --json

    Fix the cause first, for example with an update. A command keeps its id and runs once. Retry refuses a command that
    already has an outcome, and a message that would fail again. A command that never ran runs now, no matter how old
    it is: a call from yesterday is dialed today. With --all, asks for confirmation on a terminal; without a terminal,
    it needs --yes.
    """
    _require_ids_or_all(ids, reason, everything=everything)
    if ids:
        done = _with_dead_letters(lambda dead: dead.retry(ids))
    else:
        count = _confirm_all("retry", "{count} will be processed again. Continue?", reason or "", yes=yes)
        done = _with_dead_letters(lambda dead: dead.retry_all(reason or "", count))
    _print_result("retried", done, as_json=as_json)


def drop_letters(
    ids: LetterIds = None, everything: All = False, reason: Reason = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Delete dead letters permanently. Asks for confirmation on a terminal.

    \b
    Examples:
      conferral dead drop 1800000000123-0
      conferral dead drop --all --reason "missing field type"
      conferral dead drop --all --yes

    Without a terminal, --all needs --yes.
    """
    _require_ids_or_all(ids, reason, everything=everything)
    if ids:
        if sys.stdin.isatty() and not yes:
            output.require_confirmation(f"{_count_text(len(ids))} will be deleted permanently. Continue?")
        done = _with_dead_letters(lambda dead: dead.drop(ids))
    else:
        count = _confirm_all("drop", "{count} will be deleted permanently. Continue?", reason or "", yes=yes)
        done = _with_dead_letters(lambda dead: dead.drop_all(reason or "", count))
    _print_result("deleted", done, as_json=as_json)


def _require_ids_or_all(ids: list[str] | None, reason: str | None, *, everything: bool) -> None:
    if bool(ids) == everything:
        raise typer.BadParameter("give ids or --all", param_hint="ID")
    if reason and not everything:
        raise typer.BadParameter("needs --all", param_hint="--reason")


def _confirm_all(command: str, question: str, reason: str, *, yes: bool) -> int | None:
    """Ask for confirmation; return the number confirmed, None with `--yes`.

    The caller then processes no more than this number, since others may have come meanwhile.

    Args:
        reason: Counts only dead letters with this reason; empty: all.

    Raises:
        CommandNotDoneError: the user declined, or has no terminal.
    """
    if yes:
        return None
    if not sys.stdin.isatty():
        # A script that lists ids knows what it handles.
        raise CommandNotDoneError(f"without a terminal, dead {command} --all needs --yes; nothing was done")
    groups = {group.reason: group.count for group in _with_dead_letters(lambda dead: dead.groups())}
    count = groups.get(reason, 0) if reason else sum(groups.values())
    why = f" ({reason})" if reason else ""
    if not count:
        raise CommandNotDoneError(f"no dead letters{why}")
    output.require_confirmation(question.format(count=f"{_count_text(count)}{why}"))
    return count


def _count_text(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _print_result(what: str, done: "BulkResult", *, as_json: bool) -> None:
    if as_json:
        output.print_json({"done": done.done, "refused": done.refused, "left": done.left})
    else:
        output.print_line(f"{what} {done.done}, {done.left} remaining")
        for letter_id, why in done.refused.items():
            output.print_note(f"{letter_id}: {why}")
    if done.refused:
        raise typer.Exit(1)


def _with_dead_letters(act: "Callable[[DeadLetters], Awaitable[T]]") -> T:
    from conferral.cli.redis_connection import run_query
    from conferral.operations.dead_letters import DeadLetters

    return run_query(lambda reader: act(DeadLetters(reader.client, reader.keys)))


def register(app: typer.Typer) -> None:
    """Add `dead` with its subcommands."""
    of_dead = App()
    of_dead.callback(invoke_without_command=True)(dead)
    of_dead.command("list")(list_letters)
    of_dead.command("show")(show_letter)
    of_dead.command("retry")(retry_letters)
    of_dead.command("drop")(drop_letters)
    of_dead.command("resend")(resend_undelivered)
    app.add_typer(of_dead, name="dead")
