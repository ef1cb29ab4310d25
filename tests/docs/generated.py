"""The pages that `make docs` would write now."""

import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@cache
def generated_pages() -> dict[str, str]:
    """Text of every generated file, by its path."""
    scripts = str(ROOT / "scripts")
    if scripts not in sys.path:
        sys.path.append(scripts)
    import generate_docs

    return generate_docs.pages()
