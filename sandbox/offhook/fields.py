"""What fields may hold: limits, a check of JSON, and its JSON Schema.

Types say it: those of a dataclass's fields, and of a function's parameters.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, Unpack, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a number or a text, in the words of JSON Schema."""

    word: Literal["minimum", "maximum", "minLength"]
    value: float

    def problem(self, value: Any) -> str:
        """Return what is wrong; empty if nothing is."""
        match self.word:
            case "minimum":
                return f"must be at least {self.value:g}" if value < self.value else ""
            case "maximum":
                return f"must be at most {self.value:g}" if value > self.value else ""
            case "minLength":
                return "must not be empty" if len(value) < self.value else ""


def at_least(value: float) -> Limit:
    """Limit a number from below."""
    return Limit("minimum", value)


def at_most(value: float) -> Limit:
    """Limit a number from above."""
    return Limit("maximum", value)


NOT_EMPTY = Limit("minLength", 1)
Where = tuple[str | int, ...]  #: The way to a value: names, and positions from 0.


class FieldsError(ValueError):
    """Values that their fields can't hold; it says which, and why."""

    def __init__(self, problems: Sequence[tuple[Where, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, where))}: {what}" for where, what in problems))


class NoJsonError(ValueError):
    """A text is no JSON object."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an object by name: their types, and which are required."""

    kinds: Mapping[str, Any]
    required: frozenset[str] = frozenset()
    others: Any = None  #: The type of all others; None if there may be none.


def _is_record(kind: Any) -> TypeGuard[type]:
    return isinstance(kind, type) and is_dataclass(kind)


def fields_of(what: Callable[..., Any]) -> Fields:
    """Return the fields of a dataclass, or the parameters of a function."""
    if _is_record(what):
        kinds, given = get_type_hints(what, include_extras=True), [it for it in fields(what) if it.init]
        required = {it.name for it in given if it.default is MISSING and it.default_factory is MISSING}
        return Fields({it.name: kinds[it.name] for it in given}, frozenset(required))
    kinds = get_type_hints(what.func if isinstance(what, partial) else what, include_extras=True)
    parameters = inspect.signature(what).parameters.values()
    named = [it for it in parameters if it.kind is not it.VAR_KEYWORD]
    others = next((kinds[it.name] for it in parameters if it.kind is it.VAR_KEYWORD), None)
    by_name = {it.name: kinds[it.name] for it in named}
    if get_origin(others) is Unpack:  # of a TypedDict without required keys
        by_name |= get_type_hints(get_args(others)[0], include_extras=True)
        others = None
    return Fields(by_name, frozenset(it.name for it in named if it.default is it.empty), others)


def read_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object; raise NoJsonError for anything else."""
    try:
        found = json.loads(text or b"{}")
    except (ValueError, RecursionError) as error:
        raise NoJsonError(f"Invalid JSON: {error}") from None
    if not isinstance(found, dict):
        raise NoJsonError("Invalid JSON: it must be an object")
    return found


def check(known: Fields, given: Mapping[str, Any], *, within: Where = ()) -> dict[str, Any]:
    """Return the values as their fields hold them; FieldsError for wrong ones."""
    problems: list[tuple[Where, str]] = []
    checked = _check_fields(known, given, within, problems)
    if problems:
        raise FieldsError(problems)
    return checked


_Problems = list[tuple[Where, str]]


def _check_fields(known: Fields, given: Mapping[str, Any], at: Where, problems: _Problems) -> dict[str, Any]:
    problems += [((*at, name), "Field required") for name in known.kinds if name in known.required - given.keys()]
    checked = {}
    for name, value in given.items():
        kind = known.kinds.get(name, known.others)
        if kind is None:
            problems.append(((*at, name), f"no such field: there are {', '.join(known.kinds)}"))
        else:
            checked[name] = _check(kind, value, (*at, name), problems)
    return checked


def _check(kind: Any, value: Any, at: Where, problems: _Problems) -> Any:
    """Return the value as the type holds it; add what is wrong to `problems`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _check_limits(parts[0], parts[1:], value, at, problems)
    if origin in {Union, UnionType}:
        return _check_union(parts, value, at, problems)
    if origin is Literal:
        if not any(value == it and type(value) is type(it) for it in parts):
            problems.append((at, f"there are {', '.join(map(str, parts))}"))
        return value
    if _is_record(kind) and isinstance(value, kind):
        return value
    if _is_record(kind) or origin in {dict, Mapping}:
        if not isinstance(value, Mapping):
            problems.append((at, "must be an object"))
            return value
        before = len(problems)
        checked = _check_fields(
            fields_of(kind) if _is_record(kind) else Fields({}, others=parts[1]), value, at, problems
        )
        return kind(**checked) if _is_record(kind) and len(problems) == before else checked
    if origin in {tuple, list, Sequence}:
        return _check_list(origin, parts, value, at, problems)
    return _check_scalar(kind, value, at, problems)


def _check_limits(kind: Any, limits: Sequence[Any], value: Any, at: Where, problems: _Problems) -> Any:
    before = len(problems)
    value = _check(kind, value, at, problems)
    if len(problems) == before:
        problems += [(at, what) for limit in limits if isinstance(limit, Limit) and (what := limit.problem(value))]
    return value


def _check_union(kinds: Sequence[Any], value: Any, at: Where, problems: _Problems) -> Any:
    found: _Problems = []
    for kind in kinds:
        found = []
        checked = _check(kind, value, at, found)
        if not found:
            return checked
        if kind is not NoneType:
            first = found
    problems += first
    return value


def _check_list(origin: Any, parts: Sequence[Any], value: Any, at: Where, problems: _Problems) -> Any:
    if not isinstance(value, list | tuple):
        problems.append((at, "must be a list"))
        return value
    if origin is tuple and parts[-1] is not Ellipsis:
        if len(value) != len(parts):
            problems.append((at, f"must have {len(parts)} entries"))
            return value
        kinds = parts
    else:
        kinds = [parts[0]] * len(value)
    pairs = enumerate(zip(kinds, value, strict=True))
    checked = [_check(kind, it, (*at, number), problems) for number, (kind, it) in pairs]
    return tuple(checked) if origin is tuple else checked


_SCALARS: Mapping[Any, tuple[str, str]] = {
    str: ("string", "must be a text"),
    int: ("integer", "must be an integer"),
    float: ("number", "must be a number"),
    bool: ("boolean", "must be true or false"),
    NoneType: ("null", "must be null"),
}
"""Types with their names in JSON Schema, and what is said of others."""


def _check_scalar(kind: Any, value: Any, at: Where, problems: _Problems) -> Any:
    if kind is Any:
        return value
    if kind is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not kind or (kind is float and not isfinite(value)) or (kind is str and not _is_text(value)):
        problems.append((at, _SCALARS[kind][1]))
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def schema_of(known: Fields, named: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of an object; add what it refers to to `named`."""
    others = known.others
    described: dict[str, Any] = {
        "type": "object",
        "properties": {name: _schema(kind, named) for name, kind in known.kinds.items()},
        "additionalProperties": False if others is None else _schema(others, named),
    }
    if known.required:
        described["required"] = sorted(known.required)
    return described


def _schema(kind: Any, named: dict[str, Any]) -> dict[str, Any]:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _schema(parts[0], named) | {it.word: it.value for it in parts[1:] if isinstance(it, Limit)}
    if origin in {Union, UnionType}:
        return {"anyOf": [_schema(it, named) for it in parts]}
    if origin is Literal:
        return {"enum": list(parts)}
    if _is_record(kind):
        name = kind.__name__
        if name not in named:
            named[name] = schema_of(fields_of(kind), named)
        return {"$ref": f"#/components/schemas/{name}"}
    if origin in {dict, Mapping}:
        return {"type": "object", "additionalProperties": _schema(parts[1], named)}
    if origin is tuple and parts[-1] is not Ellipsis:
        ends = {"minItems": len(parts), "maxItems": len(parts)}
        return {"type": "array", "prefixItems": [_schema(it, named) for it in parts], **ends}
    if origin in {tuple, list, Sequence}:
        return {"type": "array", "items": _schema(parts[0], named)}
    return {} if kind is Any else {"type": _SCALARS[kind][0]}
