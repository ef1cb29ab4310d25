"""In which line each key of a TOML file stands, held against the standard library's parser."""

import json
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from conferral.telephony.directory.toml_lines import lines_of


def paths_of(value, path=()):
    """Every key and entry of what the parser has read."""
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inside:
        yield from paths_of(one, (*path, name))


class Written:
    """A document while it is written, with the line of everything in it."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def put(self, text):
        self.text += text

    def note(self, path):
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def pick(self, *choices):
        return self.draw(st.sampled_from(choices))

    def space(self):
        self.put(self.pick("", " ", "\t "))

    def end_of_line(self):
        comment = self.pick("", '# a [comment] = "with" \'quotes\' """ {', "#")
        self.put(self.pick("", "  ") + comment + self.pick("\n", "\r\n", "\n\n"))

    def gap(self):
        """Between the entries of an array anything blank may stand."""
        for _ in range(self.draw(st.integers(0, 2))):
            self.pick(self.space, self.end_of_line)()


TRICKY = ["", "a", "a.b", "]", "}", "#no comment", "=", ",", "'", '"', '""', "\\", "[x]", "+15550100", "é", "{", "1\t2"]
NAMES = st.one_of(st.sampled_from(TRICKY), st.text("abAB01_-", min_size=1, max_size=3), st.text(max_size=3)).filter(
    lambda name: not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)
)


def quoted(name):
    """A text as a basic string: what JSON escapes, TOML understands likewise."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def write_part(doc, name):
    is_bare = name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()
    is_literal = "'" not in name and all(letter.isprintable() or letter == "\t" for letter in name)
    ways = [quoted(name)] + [name] * is_bare + [f"'{name}'"] * is_literal
    doc.put(doc.pick(*ways))


def write_value(doc, path, depth):
    kinds = ["plain", "string", "string", "array", "inline"] if depth else ["plain", "string"]
    kind = doc.pick(*kinds)
    if kind == "plain":
        doc.put(doc.pick("1", "-1.5e3", "true", "1979-05-27 07:32:00Z", "07:32:00", "0xff", "inf", "1_000"))
    elif kind == "string":
        text = doc.draw(NAMES)
        ways = [
            quoted(text),
            f'"""{text}"""' if text in ("a", "'", "#no comment", "é") else '"""\n"x" \\"""\\\n  y"""""',
        ]
        doc.put(doc.pick(*ways, "'''\nit's\n'''", "''''q'''''", '""', "''", '""""a""""', "'\\'"))
    elif kind == "array":
        doc.put("[")
        for number in range(doc.draw(st.integers(0, 3))):
            doc.gap()
            doc.note((*path, number))
            write_value(doc, (*path, number), depth - 1)
            doc.gap()
            doc.put(",")
        doc.gap()
        doc.put("]")
    else:
        doc.put("{")
        for number, name in enumerate(doc.draw(st.lists(NAMES, max_size=3, unique=True))):
            doc.put(", " if number else "")
            write_pair(doc, path, [name], depth - 1)
        doc.put("}")


def write_pair(doc, table, key, depth):
    for count in range(1, len(key) + 1):
        doc.note((*table, *key[:count]))
    for number, name in enumerate(key):
        if number:
            doc.space()
            doc.put(".")
            doc.space()
        write_part(doc, name)
    doc.space()
    doc.put("=")
    doc.space()
    write_value(doc, (*table, *key), depth)
    doc.space()


def write_body(doc, table):
    """Keys of a table; those of several parts begin with different ones, so that none meets another."""
    for first in doc.draw(st.lists(NAMES, max_size=3, unique=True)):
        doc.space()
        write_pair(doc, table, [first, *doc.draw(st.lists(NAMES, max_size=2))], depth=2)
        doc.end_of_line()


def write_header(doc, key, path, signs):
    doc.space()
    for count in range(1, len(path) + 1):
        doc.note(path[:count])
    doc.put(signs[0])
    doc.space()
    for number, name in enumerate(key):
        doc.put("." if number else "")
        write_part(doc, name)
        doc.space()
    doc.put(signs[1])
    doc.end_of_line()


@st.composite
def documents(draw):
    """A valid document, and the line of every key and entry in it."""
    doc = Written(draw)
    doc.gap()
    for _ in range(doc.draw(st.integers(0, 2))):
        doc.end_of_line()
    write_body(doc, ())
    for number, name in enumerate(draw(st.lists(NAMES, max_size=4, unique=True))):
        head = f"t{number}{name}"  # no key above is called so: those are shorter, or written before
        if doc.draw(st.booleans()):
            path = (head, *draw(st.lists(NAMES, max_size=2)))
            write_header(doc, path, path, "[]")
            write_body(doc, path)
            continue
        for count in range(draw(st.integers(1, 3))):
            write_header(doc, [head], (head, count), ("[[", "]]"))
            write_body(doc, (head, count))
            if draw(st.booleans()):
                write_header(doc, [head, "below", "it"], (head, count, "below", "it"), "[]")
    return doc.text, doc.lines


@given(documents())
def test_every_key_that_the_parser_reads_has_its_line_and_no_other_has(document):
    text, lines = document
    found = lines_of(text)
    assert set(found) == set(paths_of(tomllib.loads(text)))
    assert found == lines


def test_lines_are_those_that_an_editor_shows():
    text = """# names
[destinations]
"bil.ling" = "client:billing"   # = "client:other"

[inbound."+15550100"]
greeting = \"\"\"
agents = [ "not.these" ] \\
\"\"\"
agents = [
  "client:alice",  # first
  'client:bob', "client:carol",
]
[inbound . '+15550101']
record.way = { of = "two", and = [1, 2] }
"""
    assert lines_of(text) == {
        ("destinations",): 2,
        ("destinations", "bil.ling"): 3,
        ("inbound",): 5,
        ("inbound", "+15550100"): 5,
        ("inbound", "+15550100", "greeting"): 6,
        ("inbound", "+15550100", "agents"): 9,
        ("inbound", "+15550100", "agents", 0): 10,
        ("inbound", "+15550100", "agents", 1): 11,
        ("inbound", "+15550100", "agents", 2): 11,
        ("inbound", "+15550101"): 13,
        ("inbound", "+15550101", "record"): 14,
        ("inbound", "+15550101", "record", "way"): 14,
        ("inbound", "+15550101", "record", "way", "of"): 14,
        ("inbound", "+15550101", "record", "way", "and"): 14,
        ("inbound", "+15550101", "record", "way", "and", 0): 14,
        ("inbound", "+15550101", "record", "way", "and", 1): 14,
    }


def test_each_table_of_an_array_of_tables_has_its_own_lines():
    text = "[[a]]\nx = 1\n[a.b]\ny = 1\n[[a]]\nx = 2\n[[a.c]]\n[[a.c]]\nz = 1\n"
    assert lines_of(text) == {
        ("a",): 1, ("a", 0): 1, ("a", 0, "x"): 2, ("a", 0, "b"): 3, ("a", 0, "b", "y"): 4,
        ("a", 1): 5, ("a", 1, "x"): 6, ("a", 1, "c"): 7, ("a", 1, "c", 0): 7, ("a", 1, "c", 1): 8,
        ("a", 1, "c", 1, "z"): 9,
    }  # fmt: skip
