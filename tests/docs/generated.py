"""The pages that `make docs` would write now."""

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent


def load_script(name: str) -> ModuleType:
    """A module of scripts/."""
    scripts = str(ROOT / "scripts")
    if scripts not in sys.path:
        sys.path.append(scripts)
    return importlib.import_module(name)


def generated_names() -> list[str]:
    """The path of every generated file."""
    return sorted(load_script("generate_docs").PAGES)


@cache
def generated_page(name: str) -> str:
    """Text of a generated file. Some take a second, so that each is made for the tests that read it alone."""
    text: str = load_script("generate_docs").PAGES[name]()
    return text
