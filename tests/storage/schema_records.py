"""Records as each level wrote them, kept as files: what is on some Redis today has to be understood tomorrow.

`python -m tests.storage.schema_records` adds the kinds that no file has yet to the newest level's. A file of a level
that was released is never written again: a change that its test does not pass needs a new level in `storage/schema.py`.
"""

import dataclasses
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from conferral.statemachine.deduplication import SeenEvents
from conferral.statemachine.effects import EFFECTS
from conferral.statemachine.events import EVENTS
from conferral.statemachine.pending_command import Recording
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, State
from conferral.statemachine.step import CommandReport, CommandStatus, OutcomeRecord
from conferral.statemachine.transfer import Attempt, TransferState
from conferral.storage.codecs import effect_codec, event_codec, session_codec
from conferral.storage.codecs.effect_codec import ExpireCalls, OutboxEntry, PublishOutcome, ReportCommand
from conferral.storage.schema import SCHEMA_VERSION

FOLDER = Path(__file__).parent / "levels"
#: A moment in Unix milliseconds, of every time in these records.
AT_MS = 1_790_000_000_000

Record = dict[str, str]


def filled(kind: type[Any], **given: Any) -> Any:
    """An instance of a dataclass in which every field holds something else than its default."""
    hints = get_type_hints(kind)
    values = {
        field.name: given.get(field.name, _value(field.name, hints[field.name]))
        for field in dataclasses.fields(kind)
        if field.init
    }
    return kind(**values)


def _value(name: str, hint: Any) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    if options:
        hint = next(option for option in options if option is not type(None))
    if get_origin(hint) is tuple:
        return (_value(name, get_args(hint)[0]),)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return list(hint)[-1]
    if dataclasses.is_dataclass(hint):
        return SeenEvents({"CF1": (7, 5)}, ("a", "b")) if hint is SeenEvents else filled(hint)  # type: ignore[arg-type]
    if get_origin(hint) is Mapping:
        return {"age": AT_MS}
    plain = {str: f"a {name}", bool: True, int: AT_MS if name.endswith("_ms") else 7}
    return plain[hint]


def _session(name: str) -> Session:
    parties = {one: filled(Party, name=one, status=PartyStatus.CONNECTED) for one in ("customer", "agent")}
    transfer = filled(TransferState, attempts=(filled(Attempt),))
    return filled(
        Session, id=name, state=State.TRANSFERRING, parties=parties, transfer=transfer, recording=filled(Recording)
    )


def written_today() -> dict[str, Record]:
    """Every kind of record, as this version writes it; outbox entries under the one field `body`."""
    records: dict[str, Record] = {"session": session_codec.encode(_session("CA1"))}
    for event in EVENTS:
        records[f"event {event.name}"] = event_codec.encode(filled(event, entry_id="1-1"))
    works: dict[str, Any] = {effect.kind: filled(effect) for effect in EFFECTS}
    works["report_command"] = ReportCommand("CA1", CommandReport("c1", CommandStatus.FAILED, "busy"))
    works["expire_calls"] = ExpireCalls("CA1", ("CA1", "CA2"))
    works["publish_outcome"] = PublishOutcome(filled(OutcomeRecord, attempts=(filled(Attempt),)))
    for kind, work in works.items():
        records[f"outbox {kind}"] = {"body": effect_codec.encode(OutboxEntry(work, AT_MS)).decode()}
    return records


def kept(level: int) -> dict[str, Record]:
    """The records that a level added, from its file."""
    found: dict[str, Record] = json.loads((FOLDER / f"level_{level}.json").read_text("utf-8"))
    return found


def levels_kept() -> list[int]:
    """The levels of which there are files."""
    return sorted(int(path.stem.removeprefix("level_")) for path in FOLDER.glob("level_*.json"))


def main() -> None:
    """Adds what no file has to the newest level's."""
    known = {name for level in levels_kept() for name in kept(level)}
    newest = kept(SCHEMA_VERSION) if SCHEMA_VERSION in levels_kept() else {}
    added = {name: record for name, record in written_today().items() if name not in known}
    text = json.dumps(newest | added, indent=1, sort_keys=True, ensure_ascii=False)
    (FOLDER / f"level_{SCHEMA_VERSION}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
