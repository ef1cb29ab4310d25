"""Packs commands with hiredis: redis-py's packing in Python takes six times as long."""

from collections.abc import Callable, Iterable
from typing import Any

pack: Callable[[tuple[Any, ...]], bytes] | None
try:
    from hiredis import pack_command as pack
except ImportError:  # not available on every platform
    pack = None


class _PackingMixin:
    """Mixin for a connection class."""

    def pack_command(self, *arguments: Any) -> list[bytes]:
        """Pack one command. redis-py names some commands by two words; Redis wants them separate."""
        assert pack is not None
        name, *others = arguments
        return [pack((*name.split(), *others))]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Pack several commands into one buffer."""
        return [b"".join(part for command in commands for part in self.pack_command(*command))]


def pack_with_hiredis(connection_class: type[Any]) -> type[Any]:
    """Return a connection class that packs with hiredis, if it is installed."""
    return (
        type(f"Packing{connection_class.__name__}", (_PackingMixin, connection_class), {}) if pack else connection_class
    )
