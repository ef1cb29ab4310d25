"""Every block of the pages is run, or read by what would run it; one that can't be says why."""

import ast
import asyncio
import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from conferral.commands.parser import parse
from conferral.runtime.settings import ServiceSettings, load
from conferral.webhooks.api.openapi import ALL_ROUTES
from offhook.command_line import make_parser
from tests.docs.generated import ROOT, load_script
from tests.docs.markdown_files import BLOCK, each_page, run_blocks, typed

#: Languages whose blocks are run or read here or in test_code_blocks.py.
READ = {"sh", "console", "python", "json", "toml", "yaml", "ini"}
#: What forges draw: whether they can is seen when the page is made from a real run.
DRAWN = {"mermaid"}
#: Programs that people start as the docs say, besides our own.
PROGRAMS = {"cd", "cp", "curl", "docker", "export", "git", "jq", "kill", "make", "openssl", "redis-cli", "timeout", "."}
#: What the demo's `CALL` is like.
SESSION = "CA" + "1" * 32
OWN = ("conferral", ".venv/bin/conferral")
#: Where the demo and the examples find the control API.
API = re.compile(r"https?://(?:127\.0\.0\.1|localhost):8080$")
TREE = load_script("cli_page").command_tree()


def is_generated(page: Path) -> bool:
    """Of these other tests say that they are what the code makes."""
    return page.is_relative_to(ROOT / "docs" / "reference") or page.is_relative_to(ROOT / "docs" / "flows")


def parsed(words: list[str]) -> None:
    """Reads the words after `conferral` as the command line does, and runs nothing.

    Raises:
        Exception: Typer's own, of a command, an option or a value that there isn't.
    """
    command: Any = TREE
    rest: Sequence[str] = words
    context = command.make_context("conferral", list(words), resilient_parsing=not words)
    while hasattr(command, "commands"):
        _, rest, _ = command.make_parser(context).parse_args(list(rest))
        if not rest:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, list(rest), parent=context)


@each_page
def test_a_block_is_read_or_says_why_not(markdown: Path) -> None:
    if is_generated(markdown):
        return
    found = list(BLOCK.finditer(markdown.read_text("utf-8")))

    unread = [it["text"] for it in found if it["language"] not in READ | DRAWN and it["why"] is None]
    assert unread == []


@each_page
def test_programs_to_be_typed_are_known(markdown: Path) -> None:
    assert {command[0] for command in typed(run_blocks, markdown)} <= PROGRAMS | {*OWN, "offhook"}


@each_page
def test_the_command_line_takes_what_is_to_be_typed(markdown: Path) -> None:
    for command in typed(run_blocks, markdown):
        if command[0] in OWN and not {"-h", "--help", "--version"} & {*command}:
            words = [word for word in command[1:] if not re.match(r"\d?>", word)]
            parsed([SESSION if word == "$CALL" else word for word in words])
        if command[0] == "offhook":
            make_parser().parse_args(command[1:])


@each_page
def test_settings_to_be_exported_are_enough_to_begin_with(markdown: Path) -> None:
    exported = [word for command in typed(run_blocks, markdown) if command[0] == "export" for word in command[1:]]
    if exported:
        load(ServiceSettings, dict(word.split("=", 1) for word in exported))


@each_page
def test_requests_that_are_to_be_typed_are_answered_by_the_api(markdown: Path) -> None:
    routes = [(route.method, re.compile(re.sub(r"\{\w+\}", "[^/]+", route.path))) for route in ALL_ROUTES]
    routes.append(("GET", re.compile("/(healthz|readyz|metrics)")))
    for command in typed(run_blocks, markdown):
        if command[0] != "curl":
            continue
        places = [urlsplit(word) for word in command if word.startswith("http")]
        ours = [it for it in places if API.match(f"{it.scheme}://{it.netloc}")]
        bodies = [command[number + 1] for number, word in enumerate(command) if word in ("--json", "-d")]
        method = "POST" if bodies else "GET"
        for place in ours:
            assert any(it == method and path.fullmatch(place.path) for it, path in routes), command
            if place.path.endswith("/commands"):
                parse(_as_published(json.loads(bodies[0]), place.path.split("/")[2]))


def _as_published(body: dict[str, object], session: str) -> dict[str, str]:
    fields = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in body.items()}
    return {"session": session, **fields}


@each_page
def test_programs_in_python_run_as_far_as_they_define_something(
    markdown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program does when it is started needs calls; other tests run that, and here it is left out."""
    started: list[str] = []

    def not_now(program: Any, **_how: object) -> None:
        started.append(program.__name__)
        program.close()

    monkeypatch.setattr(asyncio, "run", not_now)
    for text in run_blocks(markdown, "python"):
        names: dict[str, Any] = {}
        exec(compile(text, markdown.name, "exec"), names)
        assert names.keys() > {"__builtins__"}
        assert all(name in names for name in started)
        assert all(_imports_what_there_is(node) for node in ast.walk(ast.parse(text)))
        started.clear()


def _imports_what_there_is(node: ast.AST) -> bool:
    """Of our own modules, only public names: those in `__all__`."""
    if not isinstance(node, ast.ImportFrom) or node.module not in ("conferral", "offhook"):
        return True
    offered = importlib.import_module(node.module).__all__
    return {name.name for name in node.names} <= {*offered}
