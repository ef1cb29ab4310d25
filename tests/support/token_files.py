"""Files of named tokens, as an operator writes them."""

import json
from collections.abc import Iterable
from pathlib import Path

from conferral.runtime.web.tokens import digest_of


def secret_of(name: str) -> str:
    """The token of this name in the files that `write_tokens` writes."""
    return f"{name}-secret-that-no-one-guesses"


def bearer_of(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret_of(name)}"}


def table(name: str, may: Iterable[str], destinations: str | None = None, desk: Iterable[str] = ()) -> str:
    lines = [f"[tokens.{name}]", f'sha256 = "{digest_of(secret_of(name))}"', f"may = {json.dumps([*may])}"]
    lines += [f'destinations = "{destinations}"'] if destinations is not None else []
    lines += [f"desk = {json.dumps([*desk])}"] if desk else []
    return "\n".join([*lines, ""])


def write_tokens(path: Path, *tables: str) -> Path:
    path.write_text("\n".join(tables), "utf-8")
    return path
