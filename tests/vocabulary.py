"""Private words that the project uses neither for names nor in prose. Each failure names the replacement."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from conferral.telephony.phrases import Phrase, sentence_in
from tests.tidy import IN_PACKAGES, IN_TESTS, ROOT, report, tracked_files

#: A part of a name (between underscores or capitals), and what to use in its place.
REPLACEMENTS = {
    "anew": "again",
    "aside": "dead-letter, quarantine, or out of band",
    "bury": "dead_letter",
    "chore": "commit, or write",
    "chores": "commit, or write",
    "contest": "ring_group",
    "dialled": "dialed",
    "dialling": "dialing",
    "doubt": "unknown",
    "farewell": "closing message",
    "figures": "stats",
    "lanes": "priority_limiter",
    "look": "read (of Twilio), verify (before a retry), find, or poll",
    "looked": "read, or verified",
    "looking": "reading, or verification",
    "looks": "reads",
    "mend": "fix",
    "nobody": "no_one, or a word for what is empty",
    "rewind": "lose, or loss",
    "rewound": "lost",
    "room": "conference",
    "rooms": "conferences",
    "everybody": "everyone, or a word for what it holds",
    "somebody": "a word for who it is: party, caller, operator",
    "standing": "status, or summary",
    "tell": "report, log, or send",
    "telling": "report",
    "tells": "reports",
    "told": "a word for what it holds",
    "tune": "wait_audio",
    "tunes": "wait_audio",
    "whoever": "a word for who it is: party, owner, worker",
}
#: Words in docs, comments, docstrings, and texts of the product, and what to write instead.
PROSE = {
    r"anew": "again",
    r"(?:any|every|no|some)body": "the actor, anyone, everyone, no one, or someone",
    r"beside": "next to, or besides",
    r"chores?": "commit, or write",
    r"diall(ed|ing)": "dialed, dialing",
    r"in earnest": "in production",
    r"(?:another|former|last|next) holders?": "owner",
    r"lets? go": "hang up, disconnect, or release",
    r"mend(s|ed|ing)?": "fix",
    r"(put|puts|was|were) aside": "dead-lettered",
    r"sign of life": "heartbeat",
    r"take[ns]? up|took up": "process, retrieve, or open",
    r"told": "reported, informed, or shown",
    r"untold": "unreported",
    r"whoever": "anyone who, or the actor",
}
#: More of these, for comments and docstrings of tests.
PROSE_OF_TESTS = PROSE | {
    r"comes? of (?:it|them|a|the)": "outcome, or result",
    r"(?:is|are|was|were|be|been|being) let go": "disconnected, hung up, or released",
    r"looked up": "read, found, or verified",
    r"looks? at (?:it|Twilio|the session)": "read",
    r"a look": "a read, a check, or a poll",
    r"rooms?": "conference; package; or space",
    r"tell(?:s|ing)?": "report, say, show, or distinguish",
    r"tunes?": "wait audio, or music",
}
#: What callers hear, the history of releases, and what others wrote.
NOT_PROSE = ("conferral/telephony/phrases.py", "CHANGELOG.md", "LICENSE", "vendor/", ".lock")
#: Pages and comments of these; of Python, comments and texts.
WRITTEN = (".md", ".lua", ".js", ".css", ".yml", ".json", ".toml", ".example", "Makefile", "Dockerfile", ".service")
#: A public name, which reads like the story that a test says.
FINE_NAMES = {"was_told"}
#: Fine in tests: figures that they print, the standing of a dial, and "looks like".
FINE_IN_TESTS = {"figures", "looks", "standing"}


def pattern_of(words: dict[str, str]) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b(?:{one})\b" for one in words), re.IGNORECASE)


PRIVATE, PRIVATE_IN_TESTS = pattern_of(PROSE), pattern_of(PROSE_OF_TESTS)
#: A private part of a name, wherever names have one.
PRIVATE_NAME = re.compile("|".join(REPLACEMENTS), re.IGNORECASE)
OURS = [ROOT / name for name in IN_PACKAGES]
TESTS = [ROOT / name for name in IN_TESTS if ROOT / name != Path(__file__)]


def parts_of(name: str) -> list[str]:
    """Return the words of a name: `HeldPartition` and `held_partition` have the same."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


def names_in(path: Path) -> Iterator[tuple[int, str]]:
    """Return a file's name, and the names that it defines, with their lines."""
    yield 1, path.stem
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def prose_in(path: Path, *, only_documentation: bool = False) -> Iterator[tuple[int, str]]:
    """Return what people read in a file, with its lines: all of a page; comments and texts of a program."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    at_start = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        is_text = kind in ("STRING", "FSTRING_MIDDLE") and (at_start or not only_documentation)
        # A string without a space is a name or a value; so is what stands in braces or backticks.
        if kind == "COMMENT" or (is_text and " " in token.string):
            yield from enumerate(re.sub(r"{[^{}]*}|`[^`]*`", "", token.string).splitlines(), token.start[0])
        if kind not in ("COMMENT", "NL"):
            at_start = kind in ("NEWLINE", "INDENT", "DEDENT", "ENCODING")


def without_phrases(text: str) -> str:
    """Return a text without quotations of what callers hear."""
    for phrase in Phrase:
        text = text.replace(sentence_in(phrase, "en-US"), "")
    return text


def better_than(word: str) -> str:
    return next(better for words, better in PROSE_OF_TESTS.items() if re.fullmatch(words, word, re.IGNORECASE))


def test_names_are_standard_terms() -> None:
    report(
        [
            f"{path.relative_to(ROOT)}:{line}: {name}: not {part}, but {REPLACEMENTS[part]}"
            for paths, fine in ((OURS, set()), (TESTS, FINE_IN_TESTS))
            for path in paths
            if PRIVATE_NAME.search(path.stem + path.read_text("utf-8"))
            for line, name in names_in(path)
            if name not in FINE_NAMES
            for part in parts_of(name)
            if part in REPLACEMENTS.keys() - fine
        ]
    )


def private_words(paths: list[Path], pattern: re.Pattern[str], *, only_documentation: bool) -> list[str]:
    """Return a line for each private word. Most files have none anywhere, and are not read token by token."""
    return [
        f"{path.relative_to(ROOT)}:{line}: not {found[0]}, but {better_than(found[0])}"
        for path in paths
        if pattern.search(path.read_text("utf-8"))
        for line, text in prose_in(path, only_documentation=only_documentation)
        if pattern.search(text)
        for found in pattern.finditer(without_phrases(text))
    ]


def test_prose_has_no_private_words() -> None:
    pages = [
        ROOT / name
        for name in tracked_files()
        if name.endswith((*WRITTEN, ".py"))
        and not name.startswith(("tests/", "sandbox/tests/"))
        and not any(part in name for part in NOT_PROSE)
        and not (ROOT / name).is_symlink()
    ]
    report(private_words(pages, PRIVATE, only_documentation=False))


def test_comments_of_tests_have_no_private_words() -> None:
    report(private_words(TESTS, PRIVATE_IN_TESTS, only_documentation=True))
