"""`conferral sandbox` and `conferral demo` run `offhook`, which is a package of its own."""

import sys

import pytest
import typer

from conferral.main import app, main
from conferral.processes.cli import sandbox
from offhook.command_line import make_parser


def test_both_commands_have_the_same_options_and_defaults() -> None:
    ours = {one.name: one for one in typer.main.get_command(app).commands["sandbox"].params}  # type: ignore[attr-defined]
    parser = make_parser()
    theirs = vars(parser.parse_args([]))
    del theirs["map"], theirs["config"]  # Conferral's own settings say it

    assert {name: one.default for name, one in ours.items()} == theirs
    for shown in (parser.format_help(), sandbox.__doc__ or ""):
        assert all(f"OFFHOOK_{name.upper()}" in shown for name in (*ours, "token"))


@pytest.mark.parametrize(
    ("given", "env_file", "message"),
    [
        ([], "OFFHOOK_PORT=http", "OFFHOOK_PORT: 'http' is no port"),
        (["--port", "99999"], "OFFHOOK_PORT=1", "--port: '99999' is no port"),
        ([], "OFFHOOK_STRICT=maybe", "OFFHOOK_STRICT: 'maybe' is neither true nor false"),
        ([], "OFFHOOK_HOST=0.0.0.0", "others can reach host '0.0.0.0'"),
        ([], "SANDBOX_PORT=9000", "SANDBOX_PORT is OFFHOOK_PORT now: rename it"),
        ([], "OFFHOOK_ALLOW_HOST=http://x", "'http://x' is no host name"),
    ],
)
def test_wrong_option_is_named_as_its_user_wrote_it(given, env_file, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(env_file)

    assert main(["sandbox", *given]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_without_offhook_one_line_says_how_to_install_it(command, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "offhook", None)

    assert main([command]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "pip install 'conferral[sandbox]'" in err
    assert "pip install ./sandbox" in err
