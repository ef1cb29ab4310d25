"""`conferral sandbox` and `conferral demo` run `offhook`, which is a package of its own."""

import sys

import pytest
import typer

from conferral.main import app, main
from offhook.command_line import make_parser


def test_both_commands_have_the_same_options_and_defaults() -> None:
    ours = {one.name: one for one in typer.main.get_command(app).commands["sandbox"].params}  # type: ignore[attr-defined]
    named = {name: f"SANDBOX_{name.upper()}" for name in ours}
    parser = make_parser({})
    theirs = vars(parser.parse_args([]))

    assert {name: one.default for name, one in ours.items()} == theirs
    assert {name: one.envvar for name, one in ours.items()} == named
    shown = " ".join(parser.format_help().split())
    assert all(variable in shown for variable in named.values())


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_without_offhook_one_line_says_how_to_install_it(command, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "offhook", None)

    assert main([command]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "pip install 'conferral[sandbox]'" in err
    assert "pip install ./sandbox" in err
