"""The file of named tokens: what it means, what is wrong with it, and that neither token nor digest is ever shown."""

import re
from dataclasses import replace

import pytest
from pydantic import SecretStr

from conferral.runtime.errors import ConferralError, SettingsError
from conferral.runtime.web.tokens import NO_TOKEN, digest_of
from conferral.telephony import token_file
from conferral.telephony.token_file import EVERYTHING, TokenFile, load_tokens
from tests.docs.markdown_files import ROOT
from tests.support.each import each
from tests.support.log_lines import lines_of
from tests.support.token_files import secret_of, table, write_tokens

DIGEST = digest_of("a secret")
FIRST = "the-first-of-all-tokens"
NAMES = {"billing": "+14155550123", "paris": "+33142685300", "dave": "client:dave"}
SHA = f'sha256 = "{DIGEST}"\n'
MAY = 'may = ["read"]\n'
DESK = 'may = ["desk"]\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.toml"


def by_name(tokens):
    return {token.name: token for token in tokens.values()}


def test_a_token_may_do_what_the_file_says_and_api_everything(path):
    write_tokens(path, table("desk", ["read", "transfer"], "client:"), table("admin", ["all"]))

    tokens = load_tokens(path, SecretStr(FIRST), lambda: NAMES)

    found = by_name(tokens)
    assert [*found] == ["api", "desk", "admin"]
    assert found["desk"].may == {"read", "transfer"}
    assert found["api"].may == found["admin"].may == {*EVERYTHING}
    assert {"read", "access-token", "dead", "resend", "forget", "call", "end"} <= {*EVERYTHING}
    assert tokens[digest_of(FIRST)] is found["api"]
    assert tokens[digest_of(secret_of("desk"))] is found["desk"]
    assert all(token.digest not in repr(token) for token in tokens.values())
    assert not load_tokens(None, None)


def test_a_digest_may_be_in_capitals(path):
    write_tokens(path, f'[tokens.desk]\nsha256 = "{DIGEST.upper()}"\n{MAY}')
    assert DIGEST in load_tokens(path, None)


@each(
    "text, fault",
    [
        ("[tokens.desk\n", ", line 1, column 13: not valid TOML"),
        ("[tokens.desk]\n" + MAY, ", tokens.desk.sha256: Field required"),
        ("[tokens.desk]\n" + SHA, ", tokens.desk.may: Field required"),
        (f'[tokens.desk]\nsha256 = "{DIGEST[:-1]}"\n' + MAY, ", tokens.desk.sha256: must be the token's SHA-256: 64"),
        (f'[tokens.desk]\nsha256 = "{DIGEST}0"\n' + MAY, ", tokens.desk.sha256: must be the token's SHA-256: 64"),
        ("[tokens.desk]\nsha256 = 7\n" + MAY, ", tokens.desk.sha256: Input should be a valid string"),
        (f"[tokens.desk]\n{SHA}may = []\n", ', tokens.desk.may: must be ["all"], or a list of some of read,'),
        (f'[tokens.desk]\n{SHA}may = "all"\n', ', tokens.desk.may: must be ["all"], or a list'),
        (f'[tokens.desk]\n{SHA}may = ["read", "dance"]\n', ", tokens.desk.may: entry 2 is wrong; must be"),
        (f'[tokens.desk]\n{SHA}may = ["all", "dance"]\n', ", tokens.desk.may: entry 1 is wrong; must be"),
        (f"[tokens.desk]\n{SHA}may = [[]]\n", ", tokens.desk.may: entry 1 is wrong; must be"),
        (f'[tokens.desk]\n{SHA}{MAY}destinations = "Mars"\n', ", tokens.desk.destinations: must be a comma-separated"),
        (f'[tokens.desk]\n{SHA}{MAY}destinations = ""\n', ", tokens.desk.destinations: must be a comma-separated"),
        (f'[tokens.desk]\n{SHA}{MAY}destinations = ["US"]\n', ", tokens.desk.destinations: must be a comma-separated"),
        (f"[tokens.desk]\n{SHA}{DESK}desk = []\n", ", tokens.desk.desk: must be a list of agents' identities"),
        (f'[tokens.desk]\n{SHA}{DESK}desk = "dana"\n', ", tokens.desk.desk: must be a list of agents' identities"),
        (f'[tokens.desk]\n{SHA}{DESK}desk = ["dana", "e@f"]\n', ", tokens.desk.desk: must be a list of agents' iden"),
        (f'[tokens.desk]\n{SHA}{MAY}desk = ["dana"]\n', ", tokens.desk.desk: limits the permission desk, which `may`"),
        (f'[tokens.desk]\n{SHA}{MAY}secret = "x"\n', ", tokens.desk.secret: no such key; known are sha256, may, dest"),
        (f"[desk]\n{SHA}{MAY}", ", desk: no such key; known are tokens"),
        (f"[desk.main]\n{SHA}{MAY}", ", desk: no such key; known are tokens"),
        (f"[tokens.api]\n{SHA}{MAY}", ", tokens.api: a token's name must be a letter"),
        (f"[tokens.cli]\n{SHA}{MAY}", ", tokens.cli: a token's name must be a letter"),
        (f"[tokens.4155550123]\n{SHA}{MAY}", ', tokens."…23": a token\'s name must be a letter'),
        (f"[tokens.desk-415-555-0123]\n{SHA}{MAY}", ', tokens."…23": a token\'s name must be a letter'),
        (f'[tokens."desk/al"]\n{SHA}{MAY}', ', tokens."…al": a token\'s name must be a letter'),
        (f"[tokens.{'d' * 33}]\n{SHA}{MAY}", ', tokens."…": a token\'s name must be a letter'),
        (f"[tokens.-{'d' * 31}]\n{SHA}{MAY}", f", tokens.-{'d' * 31}: a token's name must be a letter"),
        (f"[tokens.-d4155]\n{SHA}{MAY}", ', tokens."…55": a token\'s name must be a letter'),
        (f"[tokens.-d415]\n{SHA}{MAY}", ", tokens.-d415: a token's name must be a letter"),
        (f'[tokens."desk/a"]\n{SHA}{MAY}', ', tokens."…": a token\'s name must be a letter'),
        (f"[tokens.one]\n{SHA}{MAY}[tokens.two]\n{SHA}{MAY}", ", tokens.two.sha256: the token one has the same"),
        (f"[tokens.one]\nsha256 = \"{digest_of(FIRST)}\"\n{MAY}", ", tokens.one.sha256: the token api has the s"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_token_and_field_and_never_the_digest(path, text, fault):
    write_tokens(path, text)

    with pytest.raises(SettingsError) as wrong:
        load_tokens(path, SecretStr(FIRST))

    (problem,) = wrong.value.problems
    assert problem.startswith(f"CONFERRAL_TOKENS: {path}")
    assert fault in problem
    assert not re.search(r"[0-9a-f]{32}|4155550123|415-555", problem.replace(str(path), ""), re.IGNORECASE)


def test_every_problem_of_a_file_is_said(path):
    write_tokens(path, f"[tokens.one]\n{SHA}", f"[tokens.two]\n{MAY}")
    with pytest.raises(SettingsError) as wrong:
        load_tokens(path, None)
    assert [problem.rpartition(", ")[2] for problem in wrong.value.problems] == [
        "tokens.one.may: Field required", "tokens.two.sha256: Field required",
    ]  # fmt: skip


def test_a_file_that_is_missing_is_a_wrong_setting(path):
    with pytest.raises(SettingsError, match=re.escape(f"{path} can't be read (no such file or directory)")):
        load_tokens(path, None)


@each(
    "text, address",
    [
        ("+14155550199", "+14155550199"),
        ("billing", "+14155550123"),
        ("client:anna", "client:anna"),
        ("dave", "client:dave"),
        ("paris", None),
        ("+33142685300", None),
        ("sip:anna@example.com", None),
        ("nobody", None),
        ("911", None),
        ("", None),
    ],
)
def test_destinations_are_checked_after_names_are_resolved(path, text, address):
    write_tokens(path, table("desk", ["transfer"], "US, client:"), table("other", ["transfer"]))
    found = by_name(load_tokens(path, None, lambda: NAMES))

    assert found["desk"].may_name(text) is (address is not None)
    assert found["other"].may_name(text)
    if address is not None:
        assert found["desk"].address_of(text) == address
    else:
        with pytest.raises(ConferralError) as refused:
            found["desk"].address_of(text)
        assert "33142685300" not in str(refused.value)


def test_a_reload_replaces_the_tokens_and_a_broken_file_changes_nothing(path, monkeypatch):
    write_tokens(path, table("desk", ["read"], "client:"), table("wall", ["read"]))
    with lines_of(monkeypatch, token_file) as lines:
        tokens = TokenFile(path, SecretStr(FIRST), lambda: NAMES)
        first = by_name(tokens.current)
        tokens.reload()
        assert tokens.have(first["desk"]), "it has not changed"
        write_tokens(path, table("desk", ["read"]), table("wall", ["read"]))
        tokens.reload()
        assert [tokens.have(first[name]) for name in ("api", "desk", "wall")] == [True, False, True]
        write_tokens(path, f'[tokens.wall]\nsha256 = "{DIGEST}"\nmay = ["dance"]\n')
        tokens.reload()
        assert "tokens read before stay in effect" in tokens.problem
        assert tokens.have(first["wall"])
        write_tokens(path, "")
        tokens.reload()

    assert (tokens.problem, tokens.have(first["wall"]), [*by_name(tokens.current)]) == ("", False, ["api"])
    assert [(line["event"], line.get("count")) for line in lines] == [
        ("tokens_read", 3), ("tokens_read", 3), ("tokens_read", 3), ("tokens_refused", None), ("tokens_read", 1),
    ]  # fmt: skip
    assert DIGEST not in str(lines)


def test_without_a_file_a_reload_changes_nothing(monkeypatch):
    tokens = TokenFile(None, SecretStr(FIRST), dict)
    with lines_of(monkeypatch, token_file) as lines:
        tokens.reload()
    assert ([*by_name(tokens.current)], lines) == (["api"], [])


def test_a_commands_sender_is_the_token_before_the_slash():
    desk = replace(NO_TOKEN, name="desk")
    assert [desk.is_sender(by) for by in ("desk", "desk/alice", "desk2", "api/desk", "", "desk-2/alice")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_the_example_of_the_docs_is_valid(path):
    example = next(
        block for block in re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    )
    write_tokens(path, example)
    assert [*by_name(load_tokens(path, None))] == ["desk", "wallboard"]
