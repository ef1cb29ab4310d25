"""Private words that the project uses neither for names nor in prose. Each failure names the replacement."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType

from conferral.telephony.phrases import Phrase, sentence_in
from tests.test_tidy import PACKAGES, ROOT, nodes_of

#: A part of a name (between underscores or capitals), and what to use in its place.
REPLACEMENTS = {
    "anew": "again",
    "aside": "dead-letter, quarantine, or out of band",
    "bury": "dead_letter",
    "chore": "post_commit_write",
    "chores": "post_commit_writes",
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
    "rewind": "rollback",
    "rewound": "rolled_back",
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
    "whoever": "a word for who it is: party, holder, worker",
}
#: Words in docs, comments, docstrings, and texts of the product, and what to write instead.
PROSE = {
    r"anew": "again",
    r"(?:any|every|no|some)body": "the actor, anyone, everyone, no one, or someone",
    r"beside": "next to, or besides",
    r"chores?": "post-commit write",
    r"diall(ed|ing)": "dialed, dialing",
    r"in earnest": "in production",
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


def pattern_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b(?:{one})\b" for one in words), re.IGNORECASE)


PRIVATE = pattern_of(PROSE)
PRIVATE_IN_TESTS = pattern_of(PROSE_OF_TESTS)
#: What callers hear, the history of releases, what others wrote, and pages that name tests.
NOT_PROSE = (
    "conferral/telephony/phrases.py",
    "CHANGELOG.md",
    "LICENSE",
    "vendor/",
    ".lock",
)
#: Pages and comments of these; Python is read token by token.
WRITTEN = (".md", ".lua", ".js", ".css", ".yml", ".json", ".toml", ".example", "Makefile", "Dockerfile", ".service")


#: Fine in tests: figures that they print, the standing of a dial, and "looks like".
FINE_IN_TESTS = {"figures", "looks", "standing"}


def files(*folders: str) -> list[Path]:
    return sorted(path for name in folders for path in (ROOT / name).rglob("*.py") if "__pycache__" not in path.parts)


@cache
def parts_of(name: str) -> tuple[str, ...]:
    """Return the words of a name: `HeldPartition` and `held_partition` have the same."""
    return tuple(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_"))


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the names that a module defines, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def names_used_in(code: CodeType) -> Iterator[str]:
    """Return the names that a compiled module uses; those that it defines are among them."""
    yield from (*code.co_names, *code.co_varnames, *code.co_cellvars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_used_in(constant)


def problems_in(path: Path, fine: Collection[str] = ()) -> list[str]:
    """Return a line for each private word in a file's name, and in the names that it defines."""
    place, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    # Most files have no such word anywhere, or no such name: only the others are parsed, which takes far longer.
    private = REPLACEMENTS.keys() - set(fine)

    def has_private(names: Iterable[str]) -> bool:
        return not all(private.isdisjoint(parts_of(name)) for name in {path.stem, *names})

    if not has_private(re.findall(r"\w+", text)) or not has_private(names_used_in(compile(text, place, "exec"))):
        return []
    found = [(1, path.stem), *names_in(ast.parse(text))]
    return [
        f"{place}:{line}: {name}: not {part}, but {REPLACEMENTS[part]}"
        for line, name in found
        for part in parts_of(name)
        if part in REPLACEMENTS and part not in fine
    ]


def test_names_are_standard_terms() -> None:
    problems = [problem for path in files(*PACKAGES) for problem in problems_in(path)]
    problems += [problem for path in files("tests") for problem in problems_in(path, FINE_IN_TESTS)]
    assert not problems, "\n" + "\n".join(problems)


def test_private_words_are_found(tmp_path: Path) -> None:
    tree = ast.parse("class LookAround:\n    def tell(self, whoever): self.tune = whoever\nchore = 1\n")
    assert {name for _, name in names_in(tree) if set(parts_of(name)) & REPLACEMENTS.keys()} == {
        "LookAround", "tell", "whoever", "tune", "chore",
    }  # fmt: skip


def prose_in(path: Path) -> Iterator[tuple[int, str]]:
    """Return what people read in a file, with its lines: all of a page; comments and texts of a program."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        # A string without a space is a name or a value; so is what stands in braces.
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string):
            yield from enumerate(re.sub(r"{[^{}]*}", "", token.string).splitlines(), token.start[0])


def docstrings_in(path: Path) -> Iterator[ast.stmt]:
    """Return the docstrings of a file."""
    for node in nodes_of(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)):
        is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if is_documented and ast.get_docstring(node, clean=False) is not None:
            yield node.body[0]


def comments_in(path: Path) -> Iterator[tuple[int, str]]:
    """Return the comments and docstrings of a Python file, with their lines, without what stands in backticks."""
    text = path.read_text("utf-8")
    docstrings = {(node.lineno, node.col_offset) for node in docstrings_in(path)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or token.start in docstrings:
            for line, words in enumerate(token.string.splitlines(), token.start[0]):
                yield line, re.sub(r"`[^`]*`", "", words)


def may_have_private_comments(path: Path) -> bool:
    """Return whether a private word stands in a docstring, or on a line with a comment.

    Without reading token by token, which takes far longer than parsing.
    """
    written = path.read_text("utf-8").splitlines()
    lines = [line for line, words in enumerate(written, 1) if PRIVATE_IN_TESTS.search(words)]
    if not lines:
        return False
    if any("#" in written[line - 1] for line in lines):
        return True
    return any(node.lineno <= line <= (node.end_lineno or 0) for node in docstrings_in(path) for line in lines)


def private_words_in_comments(path: Path) -> list[str]:
    """Return a line for each private word in a test module's comments."""
    if not may_have_private_comments(path):
        return []
    place = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return [
        f"{place}:{line}: not {found[0]}, but {better_than(found[0])}"
        for line, text in comments_in(path)
        for found in PRIVATE_IN_TESTS.finditer(text)
    ]


def private_words_in(path: Path) -> list[str]:
    """Return a line for each private word in a file's prose."""
    if not PRIVATE.search(path.read_text("utf-8")):
        return []
    place = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return [
        f"{place}:{line}: not {found[0]}, but {better_than(found[0])}"
        for line, text in prose_in(path)
        if PRIVATE.search(text)
        for found in PRIVATE.finditer(without_phrases(text))
    ]


def better_than(word: str) -> str:
    return next(better for words, better in PROSE_OF_TESTS.items() if re.fullmatch(words, word, re.IGNORECASE))


def without_phrases(text: str) -> str:
    """Return a text without quotations of what callers hear."""
    for phrase in Phrase:
        text = text.replace(sentence_in(phrase, "en-US"), "")
    return text


def written() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [
        ROOT / name
        for name in listed
        if name.endswith((*WRITTEN, ".py"))
        and not name.startswith("tests/")
        and not any(part in name for part in NOT_PROSE)
        and not (ROOT / name).is_symlink()
    ]


def test_prose_has_no_private_words() -> None:
    problems = [problem for path in written() for problem in private_words_in(path)]
    assert not problems, "\n" + "\n".join(problems)


def test_comments_of_tests_have_no_private_words() -> None:
    problems = [
        problem for path in files("tests") if path != Path(__file__) for problem in private_words_in_comments(path)
    ]
    assert not problems, "\n" + "\n".join(problems)


def test_private_words_in_comments_are_found(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        '"""Tells `told`."""\nroom = "a room"\n\ndef f():\n    """One\n\n    look at it, and a look."""  # nobody\n'
    )

    assert [found.partition(",")[0] for found in private_words_in_comments(program)] == [
        "program.py:1: not Tells", "program.py:7: not look at it", "program.py:7: not a look",
        "program.py:7: not nobody",
    ]  # fmt: skip


def test_private_words_in_prose_are_found(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("told = 'nobody'\n#: Told by whoever.\nfail(f'the {told} call')\nfail('it was put aside')\n")
    page = tmp_path / "page.md"
    page.write_text("# Page\n\nNobody hears test_nobody.\n")
    quoted = tmp_path / "quoted.md"
    quoted.write_text(f'hears "{sentence_in(Phrase.RECALL_PARKED, "en-US")}"\n')

    assert [found.partition(",")[0] for found in private_words_in(program)] == [
        "program.py:2: not Told", "program.py:2: not whoever", "program.py:4: not put aside",
    ]  # fmt: skip
    assert [found.partition(",")[0] for found in private_words_in(page)] == ["page.md:3: not Nobody"]
    assert private_words_in(quoted) == []
