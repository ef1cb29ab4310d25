"""The demo's story: what people do, and what they hear."""

import asyncio

from conferral.demo import characters
from conferral.demo.characters import BOB, CUSTOMER
from conferral.demo.scenario import ScenarioRunner

THE_CUSTOMER = characters.name(CUSTOMER)
SUMMARY = "a consult, a worker killed in the middle, and no one left behind"


async def play_story(runner: ScenarioRunner) -> None:
    """Let a call come in, be handed over after a consult, and end."""
    async with runner.call_in() as play:
        await play.expect_talk(THE_CUSTOMER, "alice")
        await play.set_people(target="bob")
        command = await play.begin("alice consults bob first", "transfer", to=BOB, mode="consult")
        await play.wait_for_party("target")
        await asyncio.gather(play.kill_worker(), play.expect_heard(customer="music", alice="bob", bob="alice"))
        await play.finish(command)
        await play.do("alice hands over to bob", "complete")
        await play.set_people(agent="bob")
        await play.expect_talk(THE_CUSTOMER, "bob")
        await play.end("customer", "the customer hangs up: bob, the last one, is released")
