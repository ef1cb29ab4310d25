"""Test an installation on the real account, without a person."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conferral.cli import output
from conferral.cli.options import AsJson, Yes, load_settings, require_number
from conferral.operations.errors import CommandNotDoneError

if TYPE_CHECKING:
    from conferral.canary.findings import FlowResult
    from conferral.canary.numbers import CanaryNumbers
    from conferral.runtime.settings import ServiceSettings

#: Legs of each flow's calls, each billed as a minute, and minutes of participants in conferences.
_COSTS = {"bridge": (12, 0), "convert": (4, 2), "hold": (4, 2), "consult": (6, 3), "blind": (6, 2), "cleanup": (20, 8)}
_FLOWS = ",".join(_COSTS)
#: US list prices in dollars: half of the legs come in, half go out. Source: docs/prices.toml, which a test compares.
LEG_PRICE, PARTICIPANT_PRICE = (0.0085 + 0.0140) / 2, 0.0018


def canary(
    to: Annotated[str, typer.Option(metavar="+E.164", help="The number of the account that is called.")],
    answer: Annotated[str, typer.Option(metavar="+E.164", help="The number of the account that answers.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="+E.164", help="The number that calls; TWILIO_NUMBER by default.")
    ] = None,
    flows: Annotated[str, typer.Option(metavar="LIST", help="Which flows to run.")] = _FLOWS,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was observed, without numbers and SIDs.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Test the installation by calls to numbers of your own.
    States the cost and asks first. No person's phone rings.

    \b
    Examples:
      conferral canary --to +12025550151 --answer +12025550152
      conferral canary --to +12025550151 --answer +12025550152 --flows bridge,convert --yes
      conferral canary --to +12025550151 --answer +12025550152 --trace canary.json

    docs/canary.md says which numbers to buy and how to configure them; any others are refused before a call is placed.
    Prints, for each flow, the time between the callbacks that bound a silence, the delay and order of callbacks, error
    codes, and billed seconds; and which of the documented behaviors Twilio shows. Stores the result for `check`.
    Without a terminal, it needs --yes. Exits 1 if a flow did not behave as documented.
    """
    named = dict.fromkeys(part.strip() for part in flows.split(","))
    if unknown := [one for one in named if one not in _COSTS]:
        raise typer.BadParameter(f"no flow is called {unknown[0]!r}; there are {_FLOWS}", param_hint="--flows")
    for option, number in (("--to", to), ("--answer", answer), ("--from", from_)):
        require_number(number, option)
    settings = load_settings()
    if not (yes or sys.stdin.isatty()):
        reason = "without a terminal, canary needs --yes; nothing was done"
        raise CommandNotDoneError(reason, details=(_cost_of(list(named)),))
    import asyncio

    from conferral.canary.numbers import CanaryNumbers  # slow, so a wrong setting is shown first
    from conferral.canary.run import check_numbers
    from conferral.runtime import log

    log.configure(settings.log_format, level="warning" if sys.stderr.isatty() else "info", process="canary",
                  cache_loggers=False)  # fmt: skip
    numbers = CanaryNumbers(from_ or settings.number, to, answer)
    if problems := asyncio.run(check_numbers(settings, numbers)):
        reason = "the canary can't call: its numbers or Conferral are not ready; nothing was done"
        raise CommandNotDoneError(f"{reason}: {problems[0]}", details=tuple(problems[1:]))
    if not yes:
        output.require_confirmation(f"{_cost_of(list(named))} Continue?")
    results = _run(settings, numbers, list(named), as_json=as_json)
    if trace is not None:
        _write_trace(trace, results)
    if as_json:
        output.print_json([result.public() for result in results])
    if failed := [result.flow for result in results if result.status == "fail"]:
        raise CommandNotDoneError(f"not as documented: {', '.join(failed)}; docs/canary.md says what each line means")


def _cost_of(flows: list[str]) -> str:
    legs, minutes = (sum(_COSTS[flow][place] for flow in flows) for place in (0, 1))
    dollars = legs * LEG_PRICE + minutes * PARTICIPANT_PRICE
    return (
        f"The canary makes about {legs} call legs between numbers of your account, of a minute each as Twilio bills "
        f"them, and uses about {minutes} participant minutes in conferences: about ${dollars:.2f} at Twilio's US list "
        "prices; other countries differ."
    )


def _run(
    settings: "ServiceSettings", numbers: "CanaryNumbers", flows: list[str], *, as_json: bool
) -> "list[FlowResult]":
    """Run the flows; SIGINT and SIGTERM end the canary and its calls."""
    import asyncio
    import signal

    from conferral.canary.run import run_canary

    async def interruptible() -> "list[FlowResult]":
        task = asyncio.ensure_future(run_canary(settings, numbers, flows, (lambda _: None) if as_json else _print))
        for one in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(one, task.cancel)
        return await task

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise CommandNotDoneError("interrupted; the canary's calls were hung up") from None


def _print(result: "FlowResult") -> None:
    output.print_heading(f"{result.flow}: {result.status}")
    lines = [f"{span.who}: {span.ms:,} ms, from {span.first} to {span.last}" for span in result.spans]
    lines.append(f"callbacks: {len(result.order)}, the latest {result.delay_ms:,} ms after its event")
    lines.append(f"order: {', '.join(result.order)}")
    lines.append(f"error codes: {', '.join(result.codes) or 'none'}")
    billed = f"{result.call_s} s in {result.calls} calls, {result.participant_s:.0f} s of participants in conferences"
    lines.append(f"billed: {billed}")
    lines += [f"{one.status}: {one.name}: {one.found}" for one in result.findings]
    for line in lines:
        output.print_fitted(f"  {line}", 4)


def _write_trace(path: Path, results: "list[FlowResult]") -> None:
    import json
    from importlib.metadata import version

    from conferral.canary.trace import trace_of

    document: dict[str, Any] = trace_of(version("conferral"), results)
    try:
        path.write_text(json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise CommandNotDoneError(f"--trace: the file can't be written ({error.strerror})") from None
