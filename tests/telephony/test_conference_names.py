"""Names of conferences: no one else's collides with them, and we recognize our own."""

from conferral.telephony.callback_urls import is_conference_name
from conferral.telephony.conference_names import ConferenceNames
from tests.support.each import each

NAMES = ConferenceNames(["secret"], "conferral https://example.com")
CALL = "CA" + "1" * 32


@each("session_id", ["a", "order-7", "x" * 64, "-", CALL, NAMES.make("order-7", CALL)[:64]])
def test_name_is_recognized_and_fits_twilios_limits(session_id: str) -> None:
    name = NAMES.make(session_id, CALL)
    assert is_conference_name(name)
    assert NAMES.session_of(name) == session_id


@each("text, expected", [("", False), ("a b", False), ("x" * 128, True), ("x" * 129, False)])
def test_format_of_names_is_that_of_ids_but_longer(text: str, expected: bool) -> None:
    assert is_conference_name(text) is expected


def test_name_is_the_same_for_the_same_opener_and_another_for_every_other() -> None:
    name = NAMES.make("order-7", CALL)
    assert name == NAMES.make("order-7", CALL)
    others = {
        NAMES.make("order-7", "CA" + "2" * 32),
        NAMES.make("order-8", CALL),
        ConferenceNames(["other"], "conferral https://example.com").make("order-7", CALL),
        ConferenceNames(["secret"], "conferral https://example.org").make("order-7", CALL),
    }
    assert len(others | {name}) == 5


def test_name_that_we_did_not_make_is_not_ours() -> None:
    name = NAMES.make("order-7", CALL)
    last = "0" if name[-1] != "0" else "1"
    for other in ("order-7", CALL, "", name[:-1], name[:-1] + last, "x" + name, name + "\n", name.upper()):
        assert NAMES.session_of(other) == ""
    assert ConferenceNames(["other"], "conferral https://example.com").session_of(name) == ""


def test_name_survives_the_rotation_of_the_token() -> None:
    rotated = ConferenceNames(["new", "secret"], "conferral https://example.com")
    assert rotated.session_of(NAMES.make("order-7", CALL)) == "order-7"
    assert ConferenceNames(["new"], "conferral https://example.com").session_of(rotated.make("a", CALL)) == "a"
