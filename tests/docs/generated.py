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


@cache
def generated_pages() -> dict[str, str]:
    """Text of every generated file, by its path."""
    pages: dict[str, str] = load_script("generate_docs").pages()
    return pages
