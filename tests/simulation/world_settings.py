"""The settings of a world: of all processes, and of Twilio."""

from random import Random
from typing import Any

from conferral.runtime.settings import ServiceSettings
from offhook.model.behavior import Behavior
from tests.simulation import random_people
from tests.simulation.plan import Plan
from tests.support.local_system import settings_for


def world_settings(plan: Plan, public_url: str, **given: Any) -> ServiceSettings:
    """Return the settings of a world; some are drawn."""
    inbound_fallback = random_people.fallback(plan.chance("inbound fallback"), without=frozenset({"recall"}))
    if plan.chance("queue").random() < plan.queues:
        inbound_fallback = "queue,voicemail"
    return settings_for(
        "redis://memory", None, public_url,
        CONFERRAL_PARTITIONS=plan.partitions, CONFERRAL_CONVERT_TIMEOUT=5, CONFERRAL_LONE_GRACE=2,
        CONFERRAL_ALLOWED_DESTINATIONS=random_people.ALLOWED, CONFERRAL_SESSION_TTL=900, CONFERRAL_PARK_TIMEOUT=60,
        CONFERRAL_HOLD_LIMIT=plan.hold_limit_s, CONFERRAL_DIALS_PER_SESSION=plan.dials_per_session,
        CONFERRAL_RETURN_URLS=random_people.MENU, CONFERRAL_VOICEMAIL_LIMIT=25,
        CONFERRAL_INBOUND_FALLBACK=inbound_fallback, **given,
    )  # fmt: skip


def either_way(chance: Random) -> Behavior:
    """What Twilio may do either way when calls end, and when a phone rings."""
    return Behavior(
        final_callback=chance.choice(("first", "last")),
        abandoned_child=chance.choice(("canceled", "no-answer")),
        action_after_hang_up=chance.choice((True, False)),
        completed_participant=chance.choice(("hung-up", "updated")),
        ending_leave=chance.choice(("first", "last")),
        early_media_starts=chance.choice((True, False)),
        busy_rings=chance.choice((True, False)),
        second_recording=chance.choice(("same", "another")),
    )
