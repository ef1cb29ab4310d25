"""Line numbers of keys in a TOML file, which the standard library's parser does not report.

Source: TOML v1.0.0. Only for text that the parser has accepted; errors are not detected here.
"""

import re
import tomllib
from bisect import bisect_right

#: Path of a key or an array entry from the top: names, and positions from 0.
Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?s:(?:\\.|[^\\])*?)""""{0,2}'  # one or two more quotes belong to the text
    r"|'''(?s:.*?)''''{0,2}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
)
#: Numbers, booleans, dates, and times, which may contain a space.
_OTHER = re.compile(r"[^,\]}#\r\n]+")


def lines_of(text: str) -> dict[Path, int]:
    """Return the line, from 1, where each table, key, and array entry starts; for a table, its first mention.

    >>> lines_of('[names]\\nanna = "client:anna"\\n')
    {('names',): 1, ('names', 'anna'): 2}
    """
    return _Walk(text).lines


class _Walk:
    """One pass through a text, from start to end."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        #: Tables so far in each array of tables (count).
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
        """Return the full path of a table: within it, an array of tables stands for its newest table."""
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
        """Skip blanks and comments; return whether anything follows."""
        self._match(_BLANK)
        return self._at < len(self._text)

    def _take(self, sign: str) -> bool:
        """Consume the sign if it comes next; return whether it did."""
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
