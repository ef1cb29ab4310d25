"""Cases that share a test fail it, each by its name, and stop no other case."""

import asyncio

import pytest

from tests.support.each import each


def test_every_case_runs_and_those_that_fail_are_named():
    ran = []

    @each("first", [1, 2])
    @each("second, third", [("a", "b"), ("c", "d")])
    def check(first, second, third, given):
        ran.append((first, second, third, given))
        assert first == 1 or second == "a"

    with pytest.raises(ExceptionGroup) as raised:
        check(given="a fixture")

    assert ran == [(1, "a", "b", "a fixture"), (1, "c", "d", "a fixture"), (2, "a", "b", "a fixture"),
                   (2, "c", "d", "a fixture")]  # fmt: skip
    (group,) = raised.value.exceptions
    assert group.__notes__ == ["first: 2"]
    assert [error.__notes__ for error in group.exceptions] == [["second: c, third: d"]]


def test_no_case_at_all_is_a_failure():
    with pytest.raises(AssertionError, match="no case"):
        each("case", [])(lambda case: None)()


async def test_cases_of_a_coroutine_are_awaited():
    ran = []

    @each("case", [1, 2, 3])
    async def check(case):
        await asyncio.sleep(0)
        ran.append(case)
        assert case != 2

    with pytest.raises(ExceptionGroup) as raised:
        await check()

    assert ran == [1, 2, 3]
    assert [error.__notes__ for error in raised.value.exceptions] == [["case: 2"]]
