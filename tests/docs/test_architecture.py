"""ARCHITECTURE.md follows a callback through functions that exist; files that guides and recipes name exist, too."""

import ast
import re

import pytest

from tests.docs.generated import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
PATH = TEXT.partition("## From a callback to its REST request")[2].partition("\n## ")[0]
#: `folder/file.py:function` or `folder/file.py:Class.method`.
REFERENCE = re.compile(r"`([\w/]+\.py):([\w.]+)`")


def defined_names(source: str) -> set[str]:
    """The functions of a module, and the methods of its classes as `Class.method`."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    module = ast.parse(source).body
    names = {node.name for node in module if isinstance(node, functions)}
    for owner in (node for node in module if isinstance(node, ast.ClassDef)):
        names |= {f"{owner.name}.{node.name}" for node in owner.body if isinstance(node, functions)}
    return names


def test_every_function_on_the_path_of_a_callback_exists() -> None:
    references = REFERENCE.findall(PATH)

    assert len(references) >= 12
    assert [f"{file}:{name}" for file, name in references if name not in defined_names((ROOT / file).read_text())] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile"])
def test_every_file_that_the_page_names_exists(page: str) -> None:
    files = set(re.findall(r"(?<![\w/])(?:\w+/)+[\w.-]+\.(?:py|lua)\b", (ROOT / page).read_text("utf-8")))

    assert files
    assert sorted(file for file in files if not (ROOT / file).is_file()) == []
