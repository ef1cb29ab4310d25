"""A program's type checker sees the types of the fixtures."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import offhook
from offhook import PhoneScript
from offhook.model.numbers import Number, NumberFields
from offhook.phones import ScriptFields

PROGRAM = Path(__file__).parent / "typed_program.py"


def test_mypy_accepts_what_is_right_and_refuses_what_is_wrong(tmp_path: Path) -> None:
    """As for an installed package: mypy follows only one with `py.typed`."""
    installed = tmp_path / "site"
    installed.mkdir()
    (installed / "offhook").symlink_to(Path(offhook.__file__).parent)
    # Without the types of what Offhook imports, which take most of the time.
    skipped = "[mypy-aiohttp.*,yarl.*]\nfollow_imports = skip\n"
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\n{skipped}")
    options = ("--python-executable", sys.executable, "--cache-dir", str(tmp_path / "cache"))
    ran = subprocess.run(
        (sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *options, PROGRAM),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_fields_of_keywords_are_those_of_the_classes() -> None:
    assert get_type_hints(ScriptFields).keys() - {"times"} == {it.name for it in fields(PhoneScript)}
    assert get_type_hints(NumberFields).keys() | {"number", "voice_url"} == {it.name for it in fields(Number)}
