"""The README shows what the demo prints, and the pages lead to where the demo listens."""

import ast
import re
from pathlib import Path

from conferral.demo import closing_message, environment
from conferral.processes.subprocesses import HOST
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader
from tests.docs.generated import ROOT

README = (ROOT / "README.md").read_text("utf-8")
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text("utf-8")


def printed() -> list[str]:
    """What the demo prints at last, on its usual ports."""
    webhooks, sandbox, console = (f"http://{HOST}:{port}" for port in environment.PORTS)
    where = environment.DemoEnvironment(
        folder=Path("/tmp/demo"),
        redis_url="unix:///tmp/demo/redis.sock",
        webhooks_url=webhooks,
        sandbox_url=sandbox,
        console_url=console,
        reader=SessionReader(
            make_client("unix:///tmp/demo/redis.sock"), Keys(environment.PREFIX, environment.PARTITIONS)
        ),
    )
    return closing_message.lines(where, [4_194_303, 4_194_304], {"Alice": f"{webhooks}/desk#token"})


def test_the_readme_shows_where_everything_is_as_the_demo_prints_it() -> None:
    shown = README.partition("```text\n")[2].partition("```")[0].splitlines()

    assert len(shown) == 3
    assert [line for line in printed() if line in shown] == shown


def test_the_quickstart_leads_to_the_pages_that_the_demo_prints() -> None:
    for name in ("console", "phones"):
        (address,) = [line.split()[1] for line in printed() if line.startswith(f"  {name} ")]
        assert f"<{address}>" in QUICKSTART


def test_readme_says_which_tests_only_make_soak_runs() -> None:
    links = re.findall(r"\[(test_\w+)\]\((tests/[\w/]+\.py)\)(, run by `make soak`)?", README)

    assert links
    for name, path, soaks in links:
        functions = [one for one in ast.parse((ROOT / path).read_text("utf-8")).body if hasattr(one, "decorator_list")]
        (function,) = (one for one in functions if one.name == name)
        marks = [ast.unparse(one) for one in function.decorator_list]
        assert ("pytest.mark.soak" in marks) == bool(soaks), name


def test_every_target_of_make_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    listed = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

    assert listed
    assert sorted(listed[1].split()) == sorted(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
