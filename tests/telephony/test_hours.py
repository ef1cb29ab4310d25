"""Hours of a number: what is understood, and when they are, through midnights, holidays, and changes of clocks."""

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo, available_timezones, reset_tzpath

import pytest

from conferral.runtime.errors import SettingsError
from conferral.runtime.zones import find_zone
from conferral.telephony.directory import load_directory
from conferral.telephony.directory.hours import Hours, parse_hours
from tests.support.each import each
from tests.support.service_settings import settings_with

OFFICE = "Mon-Fri 09:00-17:30, Sat 10:00-14:00"
#: Fri, Sat, Sun, and a Monday that are holidays here.
HOLIDAYS = frozenset({date(2026, 12, 25), date(2026, 12, 26), date(2027, 1, 1)})


def hours(text, zone="Europe/Berlin", holidays=HOLIDAYS):
    return Hours(parse_hours(text), find_zone(zone), holidays)


def ms(text):
    """Unix milliseconds of a time in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@each("text, zone, at, is_open", [
    # 2026-11-30 is a Monday; Berlin is an hour ahead of UTC in winter.
    (OFFICE, "Europe/Berlin", "2026-11-30T07:59:59.999", False),
    (OFFICE, "Europe/Berlin", "2026-11-30T08:00:00", True),
    (OFFICE, "Europe/Berlin", "2026-11-30T16:29:59.999", True),
    (OFFICE, "Europe/Berlin", "2026-11-30T16:30:00", False),
    (OFFICE, "Europe/Berlin", "2026-12-05T08:59:59", False),
    (OFFICE, "Europe/Berlin", "2026-12-05T09:00:00", True),
    (OFFICE, "Europe/Berlin", "2026-12-05T13:00:00", False),
    (OFFICE, "Europe/Berlin", "2026-12-06T10:00:00", False),
    # The same moment elsewhere: another hour, or another day.
    (OFFICE, "America/New_York", "2026-11-30T13:59:59", False),
    (OFFICE, "America/New_York", "2026-11-30T14:00:00", True),
    (OFFICE, "Pacific/Auckland", "2026-11-29T20:00:00", True),
    (OFFICE, "Asia/Kolkata", "2026-11-30T03:29:59", False),
    (OFFICE, "Asia/Kolkata", "2026-11-30T03:30:00", True),
    # In summer, an hour earlier by UTC, from the day on at which the clocks change.
    (OFFICE, "Europe/Berlin", "2026-03-27T07:30:00", False),
    (OFFICE, "Europe/Berlin", "2026-03-30T07:30:00", True),
    (OFFICE, "Europe/Berlin", "2026-10-23T07:30:00", True),
    (OFFICE, "Europe/Berlin", "2026-10-26T07:30:00", False),
    # Midnight: a span belongs to its first day. 2026-12-04 is a Friday.
    ("Fri 22:00-02:00", "Europe/Berlin", "2026-12-04T20:59:59", False),
    ("Fri 22:00-02:00", "Europe/Berlin", "2026-12-04T21:00:00", True),
    ("Fri 22:00-02:00", "Europe/Berlin", "2026-12-05T00:59:59", True),
    ("Fri 22:00-02:00", "Europe/Berlin", "2026-12-05T01:00:00", False),
    ("Fri 22:00-02:00", "Europe/Berlin", "2026-12-04T00:30:00", False),
    ("Sun 22:00-02:00", "Europe/Berlin", "2026-12-07T00:30:00", True),
    ("Mon-Sun 00:00-24:00", "Europe/Berlin", "2026-12-04T23:00:00", True),
    ("Mon-Sun 00:00-24:00", "Europe/Berlin", "2026-12-04T22:59:59.999", True),
    ("Fri 18:00-00:00", "Europe/Berlin", "2026-12-04T22:59:59", True),
    ("Fri 18:00-00:00", "Europe/Berlin", "2026-12-04T23:00:00", False),
    # Around the week's end.
    ("Sat-Mon 08:00-09:00", "Europe/Berlin", "2026-12-06T07:30:00", True),
    ("Sat-Mon 08:00-09:00", "Europe/Berlin", "2026-12-07T07:30:00", True),
    ("Sat-Mon 08:00-09:00", "Europe/Berlin", "2026-12-08T07:30:00", False),
    # A pause, and spans that overlap.
    ("Mon 09:00-12:00, Mon 13:00-17:00", "Europe/Berlin", "2026-11-30T11:30:00", False),
    ("Mon 09:00-12:00, Mon 11:00-17:00", "Europe/Berlin", "2026-11-30T11:30:00", True),
    # A holiday has no span of its own; the night before goes on. 2026-12-25 is a Friday.
    (OFFICE, "Europe/Berlin", "2026-12-24T10:00:00", True),
    (OFFICE, "Europe/Berlin", "2026-12-25T10:00:00", False),
    (OFFICE, "Europe/Berlin", "2026-12-26T10:00:00", False),
    (OFFICE, "Europe/Berlin", "2026-12-28T10:00:00", True),
    ("Mon-Sun 22:00-02:00", "Europe/Berlin", "2026-12-25T00:30:00", True),
    ("Mon-Sun 22:00-02:00", "Europe/Berlin", "2026-12-25T21:30:00", False),
    ("Mon-Sun 22:00-02:00", "Europe/Berlin", "2026-12-26T00:30:00", False),
    ("Mon-Sun 22:00-02:00", "Europe/Berlin", "2026-12-27T00:30:00", False),
    ("Mon-Sun 22:00-02:00", "Europe/Berlin", "2026-12-27T21:30:00", True),
    # The holiday is the local one.
    ("Mon-Sun 00:00-24:00", "Pacific/Auckland", "2026-12-24T11:00:00", False),
    ("Mon-Sun 00:00-24:00", "America/New_York", "2026-12-24T23:00:00", True),
    # Sunday 2026-03-29, Berlin: 02:00 is 03:00. A time that is skipped counts as the time after.
    ("Sun 02:30-05:00", "Europe/Berlin", "2026-03-29T00:59:59.999", False),
    ("Sun 02:30-05:00", "Europe/Berlin", "2026-03-29T01:00:00", True),
    ("Sun 01:00-02:30", "Europe/Berlin", "2026-03-29T00:59:59.999", True),
    ("Sun 01:00-02:30", "Europe/Berlin", "2026-03-29T01:00:00", False),
    ("Sun 02:15-02:45", "Europe/Berlin", "2026-03-29T01:00:00", False),
    ("Sat 22:00-02:30", "Europe/Berlin", "2026-03-29T01:00:00", False),
    # Sunday 2026-10-25, Berlin: 03:00 is 02:00 again. A time that is repeated counts both times.
    ("Sun 02:00-02:30", "Europe/Berlin", "2026-10-25T00:15:00", True),
    ("Sun 02:00-02:30", "Europe/Berlin", "2026-10-25T00:45:00", False),
    ("Sun 02:00-02:30", "Europe/Berlin", "2026-10-25T01:15:00", True),
    ("Sun 02:00-02:30", "Europe/Berlin", "2026-10-25T01:45:00", False),
    ("Sun 02:30-04:00", "Europe/Berlin", "2026-10-25T00:30:00", True),
    ("Sun 02:30-04:00", "Europe/Berlin", "2026-10-25T02:59:59", True),
    ("Sun 02:30-04:00", "Europe/Berlin", "2026-10-25T03:00:00", False),
    # Midnight itself is skipped: Sunday 2026-09-06 begins at 01:00 in Santiago.
    ("Sun 00:00-02:00", "America/Santiago", "2026-09-06T03:59:59", False),
    ("Sun 00:00-02:00", "America/Santiago", "2026-09-06T04:00:00", True),
    ("Sat 22:00-00:30", "America/Santiago", "2026-09-06T03:59:59", True),
    ("Sat 22:00-00:30", "America/Santiago", "2026-09-06T04:00:00", False),
    # Half an hour: Lord Howe, Sunday 2026-10-04, 02:00 is 02:30.
    ("Sun 02:15-03:00", "Australia/Lord_Howe", "2026-10-03T15:29:59", False),
    ("Sun 02:15-03:00", "Australia/Lord_Howe", "2026-10-03T15:30:00", True),
    # A whole day was skipped: Friday 2011-12-30 in Apia.
    ("Fri 00:00-24:00", "Pacific/Apia", "2011-12-30T09:59:59", False),
    ("Sat 00:00-24:00", "Pacific/Apia", "2011-12-30T10:00:00", True),
])  # fmt: skip
def test_table_of_midnights_holidays_and_changes_of_clocks(text, zone, at, is_open):
    assert hours(text, zone).include(ms(at)) is is_open


@each("text", [
    "mon-fri 9:00-17:30", "MON 00:00-24:00", "Mon 09:00-09:01,Tue 23:59-00:00", "Sun-Sat 00:00-24:00", "Fri 22:00-2:00",
])  # fmt: skip
def test_forms_that_are_understood(text):
    assert parse_hours(text)


@each("text, why", [
    ("", "'' is not understood; write days and times such as Mon-Fri 09:00-17:30"),
    ("Mon-Fri 09:00-17:30,", "'' is not understood"),
    ("Monday 09:00-17:30", "'Monday 09:00-17:30' is not understood"),
    ("Mon 9-17", "'Mon 9-17' is not understood"),
    ("Mon 09:00–17:30", "'Mon 09:00–17:30' is not understood"),  # noqa: RUF001
    ("09:00-17:30", "'09:00-17:30' is not understood"),
    ("Mon/Tue 09:00-17:30", "'Mon/Tue 09:00-17:30' is not understood"),
    ("Mon 09:00-17:60", "'Mon 09:00-17:60' has a time that is none; times are 00:00 to 24:00"),
    ("Mon 09:00-24:01", "'Mon 09:00-24:01' has a time that is none"),
    ("Mon 09:00-09:00", "'Mon 09:00-09:00' has no length; a whole day is 00:00-24:00"),
    ("Mon 24:00-09:00", "'Mon 24:00-09:00' has no length"),
    ("Mon 00:00-00:00", "'Mon 00:00-00:00' has no length"),
    ("Mon ٠٩:00-17:30", "'Mon ٠٩:00-17:30' is not understood"),
])  # fmt: skip
def test_what_is_not_understood_is_named(text, why):
    with pytest.raises(ValueError) as wrong:
        parse_hours(text)
    assert str(wrong.value).startswith(why)


@each("at, start", [
    ("2026-11-30T16:30:00", "2026-12-01T09:00:00"),
    ("2026-11-30T05:00:00", "2026-11-30T09:00:00"),
    ("2026-12-24T20:00:00", "2026-12-28T09:00:00"),
])  # fmt: skip
def test_next_start_is_after_the_holidays(at, start):
    assert hours(OFFICE).next_start(ms(at)) == datetime.fromisoformat(start)


def test_there_is_no_next_start_on_holidays_alone():
    assert (
        hours("Fri 00:00-24:00", holidays=frozenset(date(2026, 12, day) for day in (4, 11, 18, 25))).next_start(
            ms("2026-12-03T00:00")
        )
        is None
    )


# ---- in the directory ------------------------------------------------------------------------------------------------

NUMBER = '[inbound."+14155550170"]\n'
WEEK = 'hours = "Mon-Fri 09:00-17:30"\n'


@pytest.fixture
def route_of(tmp_path):
    """The route of a number in a directory of this text."""

    def route_of(text):
        path = tmp_path / "directory.toml"
        path.write_text(text, "utf-8")
        changes = {"CONFERRAL_AGENT": "client:alice", "CONFERRAL_DIRECTORY": str(path)}
        return load_directory(settings_with(**changes)).inbound("+14155550170")

    return route_of


@each("text, zone, holidays, closed", [
    (f'{NUMBER}timezone = "Asia/Tokyo"\n{WEEK}', "Asia/Tokyo", [], ("end",)),
    (f'timezone = "Asia/Tokyo"\nholidays = [2026-12-25]\n{NUMBER}{WEEK}', "Asia/Tokyo", [25], ("end",)),
    (f'timezone = "UTC"\n{NUMBER}{WEEK}timezone = "Asia/Tokyo"\n', "Asia/Tokyo", [], ("end",)),
    (f'timezone = "UTC"\nholidays = [2026-12-25]\n{NUMBER}{WEEK}holidays = ["2026-12-26"]\n', "UTC", [26], ("end",)),
    (f'timezone = "UTC"\nholidays = [2026-12-25]\n{NUMBER}{WEEK}holidays = []\n', "UTC", [], ("end",)),
    (f'timezone = "UTC"\n{NUMBER}{WEEK}closed = "client:bob,voicemail"\n', "UTC", [], ("client:bob", "voicemail")),
])  # fmt: skip
def test_a_number_has_its_own_values_or_those_of_the_file(route_of, text, zone, holidays, closed):
    route = route_of(text)
    days = frozenset(date(2026, 12, day) for day in holidays)
    assert route.hours == Hours(parse_hours("Mon-Fri 09:00-17:30"), find_zone(zone), days)
    assert route.closed == closed
    assert route.at(ms("2026-11-30T03:00")).is_closed is (zone == "UTC")


@each("text", ["", 'timezone = "UTC"\nholidays = [2026-12-25]\n'])
def test_a_number_without_hours_is_always_open(route_of, text):
    route = route_of(f"{text}{NUMBER}")
    assert route.hours is None
    assert route.at(ms("2026-12-25T03:00")) is route


def test_a_call_outside_the_hours_has_no_agents(route_of):
    route = route_of(f'timezone = "UTC"\n{NUMBER}{WEEK}fallback = "client:carol"\nclosed = "voicemail"\n')
    closed = route.at(ms("2026-11-29T10:00"))
    assert (closed.agents, closed.fallback, closed.is_closed) == ((), ("voicemail",), True)
    assert route.at(ms("2026-11-30T10:00")) == route


@each("text, fault", [
    (f"{NUMBER}{WEEK}", 'inbound."+…70".hours: need a timezone, here or at the top of the file'),
    (f'{NUMBER}{WEEK}timezone = "Berlin"\n', 'inbound."+…70".timezone: no such time zone; write a name such as '),
    (f'timezone = "Berlin"\n{NUMBER}{WEEK}', "timezone: no such time zone; write a name such as "),
    (f'{NUMBER}timezone = "UTC"\nhours = "Mon 9-17"\nclosed = "end"\n', 'inbound."+…70".hours: \'Mon 9-17\' is not'),
    (f'{NUMBER}timezone = "UTC"\nhours = "+14155550123"\n', 'inbound."+…70".hours: a part is not understood; '),
    (f'{NUMBER}timezone = "UTC"\nhours = 9\n', 'inbound."+…70".hours: must be a string, such as '),
    (f'{NUMBER}closed = "voicemail"\n', 'inbound."+…70".closed: needs hours; a number that is always open has '),
    (f"{NUMBER}holidays = [2026-12-25]\n", 'inbound."+…70".holidays: needs hours; '),
    (f'timezone = "UTC"\n{NUMBER}{WEEK}closed = "recall"\n', 'inbound."+…70".closed: recall is not possible here'),
    (f'timezone = "UTC"\n{NUMBER}{WEEK}holidays = ["25.12.2026"]\n', 'inbound."+…70".holidays, entry 1: must be '),
    (f"holidays = [2026-12-25T00:00:00]\n{NUMBER}", "holidays, entry 1: must be a date such as 2026-12-25"),
])  # fmt: skip
def test_what_is_wrong_is_named(route_of, text, fault):
    with pytest.raises(SettingsError) as wrong:
        route_of(text)
    (found,) = wrong.value.problems
    assert found.partition("directory.toml, ")[2].startswith(fault)


# ---- time zones ----------------------------------------------------------------------------------------------------


@pytest.fixture
def strange_system(tmp_path):
    """A system whose own data calls UTC Vaduz."""
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Vaduz").write_bytes((files("tzdata.zoneinfo") / "UTC").read_bytes())
    reset_tzpath([tmp_path])
    yield
    reset_tzpath()


def test_data_of_the_system_do_not_count(strange_system):
    july = datetime.fromisoformat("2026-07-01")
    assert ZoneInfo.no_cache("Europe/Vaduz").utcoffset(july) == timedelta(0)
    assert find_zone("Europe/Vaduz").utcoffset(july) == timedelta(hours=2)


@each("name", ["", "Berlin", "europe/berlin", "../zones", "/etc/passwd", "Europe", "zone.tab", "Europe/Berlin\0"])
def test_other_names_are_no_zones(name):
    assert find_zone(name) is None


def test_each_name_of_the_list_has_data():
    assert {
        find_zone(name).key for name in available_timezones() & set((files("tzdata") / "zones").read_text().split())
    }
