"""Examples of the README that are tests, and what the first one prints."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
QUICK = ("-q", "-n", "0", *(f"-pno:{name}" for name in ("randomly", "schemathesis", "hypothesispytest", "anyio")))


def block(language: str) -> str:
    return README.partition(f"```{language}\n")[2].partition("```")[0]


def test_first_example_prints_what_the_readme_shows(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shown=block("python").replace('"has arrived"))', '"has arrived"), 2)'))
    ran = pytester.runpytest_subprocess(*QUICK)
    ran.assert_outcomes(failed=1)
    printed = [re.sub(r"\d+\.\d\d  ", "", line.removeprefix("E").strip()) for line in ran.outlines]
    for line in block("text").splitlines()[1:]:
        assert re.sub(r"\d+\.\d\d  ", "", line.strip()) in printed


def test_first_example_passes_once_the_program_is_right(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shown=block("python").replace("has left", "has arrived"))
    pytester.runpytest_subprocess(*QUICK).assert_outcomes(passed=1)


def test_example_with_flask_passes(pytester: pytest.Pytester) -> None:
    example = README.partition("## Flask, Django, FastAPI")[2].partition("```python\n")[2].partition("```")[0]
    pytester.makepyfile(test_shown=example)
    pytester.runpytest_subprocess(*QUICK).assert_outcomes(passed=1)


def test_conferral_is_named_once() -> None:
    text = re.sub(r"```.*?```|https?://\S+", "", README, flags=re.DOTALL)
    assert re.findall("conferral", text, re.IGNORECASE) == ["Conferral"]
