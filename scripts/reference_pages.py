"""Generate pages of docs/reference/, each from what it describes."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import typer
from prometheus_client.metrics import MetricWrapperBase
from source_notes import ROOT, header_of

from conferral import main
from conferral.runtime import setting_errors
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ConsoleSettings, ServiceSettings, StoreSettings
from conferral.statemachine.pending_command import Recording
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session, first_label
from conferral.statemachine.states import (
    TRANSFER_MODES,
    PartyStatus,
    Phase,
    RecordingStatus,
    SessionMode,
    State,
    SuperviseMode,
    TransferStatus,
)
from conferral.statemachine.transfer import TransferState
from conferral.storage import keys
from conferral.storage.codecs import session_codec

NOTE = "<!-- Generated from {source} by `make docs`; changes by hand are lost. -->\n"


def _page(source: str, *parts: str) -> str:
    return NOTE.format(source=source) + "\n".join(parts).rstrip("\n") + "\n"


def _prose(text: str) -> str:
    return textwrap.fill(text, 119, break_long_words=False, break_on_hyphens=False) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def settings_page() -> str:
    """Return every setting with its meaning, default, and range."""
    intro = _prose(
        "Every process reads its settings once, at start, from the environment and from a file `.env` in the working "
        "directory; the environment wins. An empty value counts as absent. If settings are missing or invalid, the "
        "process prints one line for each and exits with code 2. Conflicts between settings, such as an agent that is "
        "not on the allow-list, are reported once each setting is valid by itself. To change a setting, restart the "
        "process. Only the [directory](../directory.md) can be reloaded. Start from "
        "[`.env.example`](../../.env.example)."
    )
    store = _settings_table(StoreSettings, set())
    service = _settings_table(ServiceSettings, set(StoreSettings.model_fields))
    console = _settings_table(ConsoleSettings, set(StoreSettings.model_fields))
    pair = "Set `TWILIO_API_KEY` and `TWILIO_API_SECRET` together; one without the other is refused.\n"
    return _page(
        "conferral/runtime/settings.py", "# Settings\n", intro, "## Read by every process and every command\n", store,
        "## Also read by webhooks, worker, and check\n", service, pair, "## Also read by the console\n", console,
    )  # fmt: skip


def _settings_table(kind: type[StoreSettings], without: set[str]) -> str:
    rows = []
    for name, field in kind.model_fields.items():
        if name in without:
            continue
        if field.is_required():
            default = "**required**"
        elif field.default is None:
            default = "none"
        else:
            default = f"`{_shown(field.default)}`"
        accepted = setting_errors.valid_values(str(field.validation_alias), field)[0]
        rows.append((f"`{field.validation_alias}`", field.description or "", default, accepted))
    return _table(("Name", "Meaning", "Default", "Accepted"), rows)


def _shown(value: Any) -> str:
    """Return a default as the environment would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def metrics_page() -> str:
    """Return every metric with its kind and labels."""
    rows = []
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            described = next(iter(metric.collect()))
            kind = described.type
            name = described.name + ("_total" if kind == "counter" else "")
            # Before the first sample, the library exposes label names only here.
            labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "none"  # noqa: SLF001
            rows.append((f"`{name}`", kind, labels, described.documentation))
    intro = _prose(
        "`GET /metrics` answers in the Prometheus text format: always on the webhooks' port, and on a worker's "
        "`--port`. Labels never contain ids or addresses. Times are in seconds. Each process counts separately; sum "
        "over processes. Only workers export the gauges below. [Operating](../operating.md#alerts) says what to "
        "watch, and what to do."
    )
    outro = "Each process also exports the Prometheus client's own `process_*` and `python_info`.\n"
    return _page(
        "conferral/runtime/metrics.py", "# Metrics\n", intro, _table(("Name", "Kind", "Labels", "Meaning"), rows), outro
    )


def redis_page() -> str:
    """Return every key, session field, and script."""
    scripts = []
    for path in sorted((ROOT / "conferral/storage/scripts").glob("*.lua")):
        scripts += [f"### {path.stem}\n", f"```text\n{header_of(path.read_text('utf-8'))}\n```\n"]
    intro = _prose(
        "All keys have one prefix, `CONFERRAL_PREFIX`. `{P}` is the partition, a decimal number: the CRC-32 "
        "of the session's id, modulo `CONFERRAL_PARTITIONS`. The braces are part of the key; on a cluster they keep "
        "a partition's keys on one node. You may read everything, but write only to the command stream."
    )
    sessions = _prose(
        "All are text. Times are ISO 8601 in UTC with milliseconds; booleans are `true` or `false`. One `HGETALL` "
        "returns one version of the session. The field `packed` holds the whole session as workers load it, with what "
        "only they need; of more than 16 parties, those that have not changed lately are in `packed_parties`. Their "
        "format may change with every version, so do not read them: `conferral show ID --json` shows "
        "all of it, except for `call_token`, which Twilio means for Conferral only. Do not write to the hash either: "
        "workers do not read the other fields, except for `version` and `state`, and treat a contradiction as damage. "
        "`conferral show`, `conferral check`, and a background check compare all fields; in JSON, `damaged` names the "
        "first one that differs. They ignore fields that Conferral has no name for. An example without these two:"
    )
    example = "\n".join(
        f"{name:<29}{value}".rstrip() for name, value in session_codec.encode_readable(_example()).items()
    )
    return _page(
        "conferral/storage/", "# Redis keys and scripts\n", intro, "## Keys\n", _keys_table(), _log_fields(),
        "## The session's fields\n", sessions, f"```text\n{example}\n```\n", *_fields(),
        "## Scripts\n\nOnly these write sessions, leases, and effects. They are in `conferral/storage/scripts/`.\n",
        *scripts,
    )  # fmt: skip


def _keys_table() -> str:
    shown = keys.Keys("PREFIX", 16)
    words: dict[str, Any] = {
        "partition": 7, "session_id": "ID", "call_sid": "CALLSID", "command_id": "CID", "digest": "DIGEST",
    }  # fmt: skip
    rows = []
    for name, member in vars(keys.Keys).items():
        if name.startswith("_") or name == "partition_of":
            continue
        if isinstance(member, property | keys.PrefixKey):
            value, about = getattr(shown, name), member.__doc__
        elif inspect.isfunction(member):
            arguments = [words[argument] for argument in list(inspect.signature(member).parameters)[1:]]
            value, about = getattr(shown, name)(*arguments), member.__doc__
        else:
            continue
        rows.append((f"`{re.sub(r'{[0-9]+}', '{P}', value)}`", " ".join((about or "").split())))
    return _table(("Key", "Content"), rows)


def _log_fields() -> str:
    return _prose(
        "An entry of a session's log has the fields `at`, `event`, `from`, `to`, `outcome`, `version`, `reason`, "
        "and `effects` (JSON). Where they apply, it also has `details` (JSON: the event's own fields, "
        "such as `party` and `status`, without addresses); `command`; `reports` (JSON: the results of commands "
        "that it decided, each with `command`, `type`, `status`, and `reason`); `effect` (the id of the "
        "effect whose outcome it is) with `attempts` (the number of requests) and `failed_attempts` (JSON: the "
        'results of the failed requests in order, such as `["429 code 20429 x1", "503 x2"]`); `changes` (JSON: the '
        "session's public fields that the event changed, null for a removed one; without addresses, and without "
        "the entry's own fields; applied in order from the first entry, they give the session at each version. The "
        "first entry leaves out fields that begin empty or `false`, such as `end_reason` and `party.NAME.held`); "
        "and `other` (JSON: unknown parameters of a conference's or recording's callback, at most 1 KB, without "
        "phone numbers). A dead letter has the fields of the original entry, cut to 64 KiB, plus `dead_reason`, "
        "`dead_stream`, `dead_entry`, and `dead_size` (bytes before the cut)."
    )


def _fields() -> tuple[str, ...]:
    """Return the tables of the session's fields."""
    without_phase = "during a conversion, in a settled conference, and at the end"
    closed = _table(
        ("Field", "Values"),
        [
            ("`state`", _words(State)),
            ("`phase`", f"{_words(phase for phase in Phase if phase)}; empty {without_phase}"),
            ("`party.NAME.status`", _words(PartyStatus)),
        ],
    )
    about = {
        "mode": f"The requested mode: {_words(TRANSFER_MODES)}; `park` and `retrieve` for the commands of that name.",
        "to": "The destinations, separated by commas; of names from the directory, the addresses.",
        "by": "Who gave the command; empty if it did not say.",
        "status": f"One of {_words(TransferStatus)}. It stays `failed` if the agent is called back or a fallback "
        "answers, because the customer did not reach the target.",
        "reason": "Empty, or why it failed or was canceled: a reason of "
        "[a failed command](../commands.md#why-a-command-fails), `command`, or `target-left`; after a comma, what "
        "followed, such as `busy, recall no-answer` or `busy, fallback answered`.",
    }
    transfer = _table(
        ("Field", "Meaning (all are empty before the first transfer)"),
        [(f"`transfer.{name}`", meaning) for name, meaning in about.items()],
    )
    more = {
        "mode": f"How the calls were first connected: {_words(SessionMode)}. Absent for `bridge`.",
        "parked_until": "When the park times out; absent if the call is not parked.",
        "recording.sid": "The newest recording; like the next three fields, absent before the first.",
        "recording.status": f"Twilio's status: {_words(RecordingStatus)}.",
        "recording.url": "Its URL at Twilio.",
        "recording.duration_s": "Its length in seconds, after it ended.",
        "party.NAME.supervises": f"A supervisor's requested mode: {_words(SuperviseMode)}. `muted` and `coaches` "
        "hold what Twilio has confirmed.",
        "party.NAME.coaches": "For a whispering supervisor: the call that hears them.",
    }
    others = _table(("Field", "Meaning"), [(f"`{name}`", meaning) for name, meaning in more.items()])
    shown = {name.rpartition(".")[2] for name in session_codec.encode(_example())} - {"in_conference"}
    of_session = shown | {"parties", "transfer", "recording", "mode", "parked_until"}
    inner = _prose(
        "These fields are only in `packed` or `packed_parties`; `conferral show ID --json` omits those that are empty. "
        f"Of a session: {_inner(Session, of_session)}, `party_order`. Of a party: "
        f"{_inner(Party, shown | {'name', 'supervises', 'coaches'})}. Of a transfer: "
        f"{_inner(TransferState, set(about))}. Of a recording: "
        f"{_inner(Recording, {'recording_sid', 'status', 'url', 'duration_s'})}."
    )
    newest = _prose(
        "The newest transfer keeps its fields until the next one begins; before the first, they are empty. Every "
        "finished transfer is in the [outcomes stream](../commands.md#outcomes-for-other-systems)."
    )
    return closed, newest, transfer, "Fields that are absent unless they apply:\n", others, inner


def _words(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _inner(kind: type[Any], shown: set[str]) -> str:
    """Return a class's stored fields, without those already shown."""
    return _words(name for field in fields(kind) if (name := field.name.removesuffix("_ms")) not in shown)


def _example() -> Session:
    session_id = "CA" + "0" * 30 + "a1"
    start_ms = 1_795_000_000_000
    parties = {
        CUSTOMER: Party(
            CUSTOMER, first_label(CUSTOMER), session_id, "+15550123", PartyStatus.CONNECTED, in_conference=True
        ),
        AGENT: Party(
            AGENT, first_label(AGENT), "CA" + "0" * 30 + "b2", "client:alice", PartyStatus.CONNECTED, in_conference=True
        ),
    }
    return Session(
        session_id, State.CONFERENCED, Phase.NONE, version=9, created_at_ms=start_ms, updated_at_ms=start_ms + 21_500,
        conference_sid="CF" + "0" * 30 + "c3", conference_name=session_id, parties=parties,
    )  # fmt: skip


def command_tree() -> Any:
    """Return the CLI as click's command tree."""
    return typer.main.get_command(main.app)


def cli_page() -> str:
    """Return every command with its arguments and options."""
    tree = command_tree()
    intro = "# Command line\n\n" + _help(tree.help) + "\n"
    parts = []
    for name, command in _commands(tree):
        parts.append(f"## conferral {name}\n")
        parameters = command.get_params(command.make_context(name, [], resilient_parsing=True))
        rows = [_parameter(one) for one in parameters if one.name != "help" and not getattr(one, "hidden", False)]
        parts.append(_help(command.help) + "\n")
        if rows:
            parts.append(_table(("Argument or option", "Meaning", "Default"), rows))
    return _page("conferral/main.py", intro, *parts)


def _commands(tree: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all commands by name, each followed by its subcommands."""
    for name, command in sorted(tree.commands.items()):
        if not command.hidden:
            yield before + name, command
            if hasattr(command, "commands"):
                yield from _commands(command, f"{before}{name} ")


def _help(text: str | None) -> str:
    """Return help as Markdown; fixed lines become shell blocks."""
    parts = []
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        if not paragraph.startswith("\b"):
            parts.append(paragraph)
            continue
        head, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
        block = textwrap.dedent("\n".join(lines))
        parts.append(f"{head}\n\n```sh\n{block}\n```")
    return "\n\n".join(parts)


def _parameter(one: Any) -> tuple[str, str, str]:
    if one.param_type_name == "argument":
        shown = f"`{(one.metavar or one.name).upper()}`"
    else:
        shown = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    default = one.default
    if one.required:
        word = "**required**"
    elif default is None or default is False or default == "" or callable(default):
        word = ""
    else:
        word = f"`{default}`"
    return shown, " ".join((getattr(one, "help", None) or "").split()), word
