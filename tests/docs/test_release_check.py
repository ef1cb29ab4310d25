"""What `make release-check` looks at, and what it says; it builds and installs nothing here."""

from pathlib import Path

import pytest

from tests.docs.generated import load_script

CHECK = load_script("release_check")
CORE_SIZE = load_script("core_size")


def program(path: Path, status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return path


def test_each_python_that_runs_and_is_new_enough_is_tried(tmp_path: Path) -> None:
    shims, versions, missing = tmp_path / "shims", tmp_path / "versions", tmp_path / "missing"
    program(shims / "python3.9")
    program(shims / "python3.11", status=127)  # as of a version manager, for a version that is not in use
    program(shims / "python3.12-config")
    (shims / "python3.14").symlink_to(missing / "python3.14")
    expected = {
        13: program(shims / "python3.13"),
        11: program(versions / "python3.11"),
        99: program(versions / "python3.99"),
    }
    program(versions / "python3.13")
    assert CHECK.find_pythons([missing, shims, versions], 11) == expected
    assert list(CHECK.find_pythons([missing, shims, versions], 11)) == [11, 13, 99]


def test_verdict_says_what_it_means_for_the_classifiers() -> None:
    assert CHECK.verdicts([11, 12, 13], {11: True, 13: False, 14: True, 15: False}) == [
        "Python 3.11: passed",
        "Python 3.12: not present, not checked",
        "Python 3.13: failed",
        "Python 3.14: passed: add to classifiers",
        "Python 3.15: failed; not in classifiers",
    ]


def test_page_that_names_another_release_ends_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(CHECK, "DISTRIBUTIONS", {})
    monkeypatch.setattr(CHECK, "find_pythons", dict)
    monkeypatch.setattr(CHECK.named_releases, "differing", lambda: ["README.md:1: 0.0.9"])
    assert CHECK.main() == 1
    assert capsys.readouterr().out == "README.md:1: 0.0.9\n"


def test_growth_since_a_release_is_said_of_each_size() -> None:
    now = CORE_SIZE.sizes(CORE_SIZE.ROOT)
    before = {of: {what: size + 1 for what, size in found.items()} for of, found in now.items()}

    assert list(now["state machine"]) == ["rows", "guards", "fields of Session and Party"]
    assert list(now["lines"]) == [
        "JavaScript", "JavaScript of Offhook", "Lua", "Python", "Python of Offhook", "code of Python",
        "tests of Offhook", "tests without Offhook's",
    ]  # fmt: skip
    assert all(size > 50 for found in now.values() for size in found.values())
    assert now["lines"]["code of Python"] < now["lines"]["Python"]
    assert "rows (-1), " in CORE_SIZE.growth(now, before, "v0.1.0")
    assert CORE_SIZE.growth({"lines": {"Lua": 3, "Python": 2}}, {}, "") == "lines: 3 Lua, 2 Python"
    now = {"lines": {"Lua": 3}, "state machine": {"rows": 2}}
    assert CORE_SIZE.growth(now, {"lines": {"Lua": 1}, "state machine": {"rows": 2}}, "v0.1.0") == (
        "lines: 3 Lua (+2) since v0.1.0\nstate machine: 2 rows (+0) since v0.1.0"
    )
