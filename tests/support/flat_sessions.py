"""A session as texts by the way to them, such as `party.agent.held`: what flows and rules compare."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin

import msgspec

from conferral.statemachine.parts import Recording, TransferState
from conferral.statemachine.record import BaseRecord
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import TransferMode
from conferral.storage.codecs.session_codec import PUBLIC, for_readers, load
from conferral.storage.codecs.text_codec import from_iso, to_iso

#: Attributes that are there even if they are the default.
_SHOWN = {**PUBLIC, Recording: ("sid", "status", "url", "duration_s")}
_PARTS = ("parties", "transfer", "earlier_transfer", "recording")


def flat(session: Session) -> dict[str, str]:
    """All that is not the default, and what is public; times in ISO 8601."""
    none = PUBLIC[TransferState] if session.public_transfer is None else ()
    found = {f"transfer.{name}": "" for name in none}
    return found | {prefix + name: text for prefix, record in _records(session) for name, text in _texts(record)}


def flat_record(record: Mapping[bytes, bytes]) -> dict[str, str]:
    """A session's hash, without what is only for eyes; empty without one."""
    return dict(_flat_text(record[b"session"], record[b"version"])) if record else {}


@lru_cache(1_000)  # many ask after each commit
def _flat_text(text: bytes, version: bytes) -> dict[str, str]:
    return flat(load(msgspec.json.decode(text)["id"], {b"session": text, b"version": version}))


def session_of(fields: Mapping[str, str]) -> Session:
    """A session as readers get it, of such texts; what is required has a default here."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for name, text in fields.items():
        prefix, _, attribute = name.rpartition(".")
        parts[prefix][attribute] = text
    there = {prefix: texts for prefix, texts in parts.items() if any(texts.values())}  # no transfer has empty fields
    found = {prefix: _values(_KINDS[prefix.partition(".")[0]], texts) for prefix, texts in there.items()}
    transfers = [found[one] for one in ("internal_transfer", "transfer") if one in found]
    made = [TransferState(**({"number": 1, "mode": TransferMode.WARM, "to": ()} | one)) for one in transfers]
    parties = {name.removeprefix("party."): one for name, one in found.items() if name.startswith("party.")}
    recording = Recording(**found["recording"]) if "recording" in found else None
    return for_readers(
        Session(
            **({"id": "", "version": 1} | found.get("", {})),
            transfer=made[0] if made else None,
            earlier_transfer=made[1] if len(made) > 1 else None,
            recording=recording,
            parties={name: Party(**({"name": name, "label": f"{name}-1"} | one)) for name, one in parties.items()},
        )
    )


_KINDS = {"": Session, "party": Party, "transfer": TransferState, "internal_transfer": TransferState,
          "recording": Recording}  # fmt: skip


def _values(kind: type[BaseRecord], texts: Mapping[str, str]) -> dict[str, Any]:
    infos = {info.name: info.type for info in msgspec.structs.fields(kind)}
    found: dict[str, Any] = {}
    for name, text in texts.items():
        if infos.get(f"{name}_ms") is not None and name not in infos:
            found[f"{name}_ms"] = from_iso(text)
            continue
        hint = get_args(infos[name])[0] if get_origin(infos[name]) is Annotated else infos[name]
        if hint == tuple[str, ...] and not text.startswith("["):
            found[name] = tuple(filter(None, text.split(",")))
        elif isinstance(hint, type) and issubclass(hint, str):
            found[name] = hint(text)
        else:
            found[name] = msgspec.json.decode(text, type=hint)
    return found


def in_bytes(fields: Mapping[str, str]) -> dict[bytes, bytes]:
    """Fields as Redis returns them."""
    return {name.encode(): text.encode() for name, text in fields.items()}


def _records(session: Session) -> Iterator[tuple[str, BaseRecord]]:
    found = {"": session, "transfer.": session.public_transfer, "internal_transfer.": session.internal_transfer}
    parties = {f"party.{name}.": party for name, party in session.parties.items()}
    for prefix, record in (found | {"recording.": session.recording} | parties).items():
        if record is not None:
            yield prefix, record


def _texts(record: BaseRecord) -> Iterator[tuple[str, str]]:
    for info in msgspec.structs.fields(record):
        value = getattr(record, info.name)
        default = info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory()
        if info.name not in _PARTS and (value != default or info.name in _SHOWN.get(type(record), ())):
            is_time = info.name.endswith("_ms") and isinstance(value, int)
            yield (info.name.removesuffix("_ms"), to_iso(value)) if is_time else (info.name, _text(value))


def _text(value: Any) -> str:
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
