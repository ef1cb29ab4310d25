"""In which line of a TOML file each key stands: the standard library's parser does not tell.

Source: TOML v1.0.0. Only for text that the parser has taken: what is wrong with it is not looked for here.
"""

import re
import tomllib
from bisect import bisect_right

#: A key, or an entry of an array, from the top: names, and positions from 0.
Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?s:(?:\\.|[^\\])*?)""""{0,2}'  # one or two quotes more belong to the text
    r"|'''(?s:.*?)''''{0,2}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
)
#: Numbers, truth values, dates and times, a space inside included.
_OTHER = re.compile(r"[^,\]}#\r\n]+")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, at which each table, key and entry of an array begins; of a table its first mention.

    >>> lines_of('[names]\\nanna = "client:anna"\\n')
    {('names',): 1, ('names', 'anna'): 2}
    """
    return _Walk(text).lines


class _Walk:
    """One walk through a text, from the left to the right."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        #: How many tables each array of tables has so far (count).
        self._tables: dict[Path, int] = {}
        self._document()

    def _document(self) -> None:
        table: Path = ()
        while self._skip_blank():
            start = self._at
            if self._take("[["):
                table = self._resolved(self._key(), start)
                number = self._tables.get(table, 0)
                self._tables[table] = number + 1
                table = self._noted((*table, number), start)
                self._take("]]")
            elif self._take("["):
                table = self._newest(self._resolved(self._key(), start))
                self._take("]")
            else:
                self._pair(table)

    def _pair(self, table: Path) -> None:
        start, path = self._at, table
        for part in self._key():
            path = self._noted((*path, part), start)
        self._take("=")
        self._value(path)

    def _resolved(self, key: list[str], start: int) -> Path:
        """What a table's name means: on the way, an array of tables stands for its newest one."""
        path: Path = ()
        for part in key:
            path = self._noted((*self._newest(path), part), start)
        return path

    def _newest(self, path: Path) -> Path:
        return (*path, self._tables[path] - 1) if path in self._tables else path

    def _noted(self, path: Path, start: int) -> Path:
        self.lines.setdefault(path, bisect_right(self._newlines, start) + 1)
        return path

    def _key(self) -> list[str]:
        parts = [self._part()]
        while self._take("."):
            parts.append(self._part())
        return parts

    def _part(self) -> str:
        self._skip_blank()
        if bare := self._match(_BARE):
            return bare
        return str(tomllib.loads(f"text = {self._match(_STRING)}")["text"])

    def _value(self, path: Path) -> None:
        self._skip_blank()
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            while not self._take("}"):
                self._pair(path)
                self._take(",")
        elif not self._match(_STRING):
            self._match(_OTHER)

    def _array(self, path: Path) -> None:
        number = 0
        while not self._take("]"):
            self._value(self._noted((*path, number), self._at))
            self._take(",")
            number += 1

    def _skip_blank(self) -> bool:
        """Goes on to what comes next; whether there is anything."""
        self._match(_BLANK)
        return self._at < len(self._text)

    def _take(self, sign: str) -> bool:
        """Whether the sign comes next; it is gone then."""
        self._skip_blank()
        found = self._text.startswith(sign, self._at)
        if found:
            self._at += len(sign)
        return found

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]
