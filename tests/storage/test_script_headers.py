"""Every Lua script says at its top what it takes and answers, and the code keeps to it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conferral.storage.scripts import SCRIPTS
from tests.support.each import each

FOLDER = Path(__file__).resolve().parent.parent.parent / "conferral" / "storage" / "scripts"
FILES = sorted(FOLDER.glob("*.lua"))
#: In a header: `KEYS[1]  …`, `ARGV[2 ..]  …`.
ENTRY = re.compile(r"^  (KEYS|ARGV)\[(\d+)( \.\.)?\]  +(\S.*)$", re.MULTILINE)
#: Names that Redis gives to scripts next to Lua's own.
GIVEN = ("redis", "KEYS", "ARGV", "cjson", "cmsgpack", "bit", "struct")

each_script = each("path", FILES)


def halves(path: Path) -> tuple[str, str]:
    """A script's header and its code."""
    text = path.read_text("utf-8")
    assert text.startswith("--[[\n"), "a script begins with its header"
    header, _, code = text.removeprefix("--[[\n").partition("]]\n")
    return header, code


def declared(header: str, kind: str) -> tuple[list[int], bool]:
    """Numbers that the header lists, and whether the last one stands for any number."""
    entries = [(int(number), bool(more)) for found, number, more, _ in ENTRY.findall(header) if found == kind]
    assert not any(more for _, more in entries[:-1]), f"{kind}: only the last may go on"
    return [number for number, _ in entries], bool(entries) and entries[-1][1]


def used(code: str, kind: str) -> set[int]:
    return {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", _without_comments(code))}


def _without_comments(code: str) -> str:
    return re.sub(r"--.*", "", code)


def key_count(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def test_every_file_is_loaded_as_a_script():
    assert {path.stem.rpartition("-")[0] for path in FILES} == SCRIPTS.keys()


@each_script
def test_keys_of_the_header_are_those_of_the_name_and_of_the_code(path):
    header, code = halves(path)
    numbers, goes_on = declared(header, "KEYS")

    assert numbers == list(range(1, len(numbers) + 1))
    assert key_count(path) == ("n" if goes_on else str(len(numbers)))
    fixed = numbers[:-1] if goes_on else numbers
    assert used(code, "KEYS") >= set(fixed), "a key of the header is not used"
    assert used(code, "KEYS") <= set(numbers), "the code uses a key that the header does not name"


@each_script
def test_arguments_of_the_header_are_those_of_the_code(path):
    header, code = halves(path)
    numbers, goes_on = declared(header, "ARGV")

    assert numbers == list(range(1, len(numbers) + 1))
    fixed = numbers[:-1] if goes_on else numbers
    assert used(code, "ARGV") >= set(fixed), "an argument of the header is not used"
    assert used(code, "ARGV") <= set(numbers), "the code uses an argument that the header does not name"
    if goes_on:
        assert re.search(r"ARGV\[[^]]*[a-z]", code), "the header's last argument goes on, the code takes no more"


@each_script
def test_no_key_is_made_inside_a_script(path):
    _, code = halves(path)

    # An undeclared key may be on another node of a Redis Cluster. XINFO and XGROUP name a subcommand first.
    assert not re.search(r"redis\.call\('(?!XINFO|XGROUP)[A-Z]+', *'", _without_comments(code))


@pytest.mark.skipif(shutil.which("luacheck") is None, reason="luacheck is not on PATH")
def test_luacheck_finds_nothing_in_any_script():
    names = [path.name for path in FILES]
    found = subprocess.run(
        ["luacheck", "--std", "lua51", "--globals", *GIVEN, "--no-color", "--max-line-length", "120", "--", *names],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stdout + found.stderr
