"""How Twilio behaves where its documentation is silent or reports differ: every story holds in each reading.

A reading changes some of the sandbox's `Behavior`. What a story chooses itself stays as chosen.
"""

import re
from collections.abc import Mapping
from random import Random
from typing import Any
from zlib import crc32

READINGS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "flags_taken": {"end_on_exit_update": "taken", "action_after_hang_up": False},
    "flags_with_hold": {"end_on_exit_update": "with-hold"},
    "start_awaited": {"add_before_start": "refused", "failed_wait": "hung-up", "init_conference_list": "refused"},
    "start_ignored": {"end_before_start": "taken", "update_before_start": "taken", "init_conference_list": "all"},
    "start_shown_early": {"unstarted_conference": "in-progress", "completed_participant": "updated"},
    "all_listed": {"conference_list": "all", "init_conference_list": "all", "final_callback": "last"},
    "callee_first": {"final_callback": "last", "abandoned_child": "no-answer", "action_after_hang_up": False},
    "start_while_ringing": {"early_media_starts": True, "busy_rings": True, "second_recording": "another"},
    "moderator_last": {
        "ending_leave": "last",
        "busy_rings": True,
        "conference_recording_channels": 1,
        "browser_parameters": "override",
    },
}
#: How many other readings a long run draws (count): all of them would take an hour more.
DRAWN = 2
#: Marks a reading in a test's id.
PREFIX = "twilio:"
_ID = re.compile(rf"{PREFIX}\w+-?")


def example_of(nodeid: str) -> str:
    """The test without its reading."""
    return _ID.sub("", nodeid)


def chosen_for(nodeid: str) -> str:
    """The reading in which `make test` plays this example, the same on every machine."""
    names = sorted(READINGS)
    return names[crc32(example_of(nodeid).encode()) % len(names)]


def drawn_for(nodeid: str, seed: int) -> list[str]:
    """The other readings in which `make soak` plays this example, others with each seed."""
    return Random(f"{seed} {nodeid}").sample(sorted(READINGS.keys() - {chosen_for(nodeid)}), DRAWN)
