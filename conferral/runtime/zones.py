"""Time zones, from the `tzdata` distribution: the same on every machine.

A system's own data may be missing, as in small containers, or old.
Source: Python docs, `zoneinfo`, "Data sources"; `ZoneInfo.from_file`.
"""

from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo


def find_zone(name: str) -> ZoneInfo | None:
    """Return a zone by its IANA name; None if there is none of that name.

    >>> find_zone("Europe/Berlin")
    zoneinfo.ZoneInfo(key='Europe/Berlin')
    """
    return _read_zone(name) if name in _names() else None


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text("utf-8").split())


@cache
def _read_zone(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
