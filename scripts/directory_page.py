"""Generate docs/reference/directory.md, the keys of a number's entry."""

from page_parts import page, prose, table

from conferral.telephony.directory.file import DirectoryEntry

#: Key to meaning; every key of an entry must be here.
MEANINGS = {
    "agents": (
        "addresses or names, at most ten; the next one is called if one is busy, doesn't answer, or "
        "can't be reached. Default: `CONFERRAL_AGENT`"
    ),
    "mode": "`bridge` or `conference`. Default: by the voice URL, `/voice/inbound` or `/voice/conference`",
    "record": '`true`, `false`, or `"customer"`, as `CONFERRAL_RECORD`',
    "beep": 'beep when someone joins or leaves: `true`, `false` (default), `"onEnter"`, or `"onExit"`',
    "jitter_buffer_size": (
        '`"off"`, `"small"`, `"medium"`, or `"large"`: smaller means less delay, and more gaps on a bad line'
    ),
    "region": (
        'where Twilio mixes the conference: `"us1"`, `"us2"`, `"ie1"`, `"de1"`, `"sg1"`, `"br1"`, `"au1"`, or `"jp1"`'
    ),
    "trim": 'cut silence at both ends of a recording: `"trim-silence"` or `"do-not-trim"`',
    "recording_configuration": (
        "id of a [recording configuration](../outcomes.md#recordings) at Twilio, which then decides "
        "channels, trimming, and what becomes of recordings of calls and conferences"
    ),
    "wait_url": "URL of the music for callers who wait or are on hold, instead of `CONFERRAL_MUSIC`",
    "max_participants": "participants in the conference, 2 to 250",
    "greeting": "message for a caller who waits in a conference, instead of `CONFERRAL_GREETING`",
    "after": "TwiML URL for the caller after the others left, such as a survey",
    "time_limit": "seconds, the wait in a queue included, after which the caller leaves the conference, 1 to 86400",
    "hangup_on_star": "`true`: the caller leaves the conference with `*`",
    "fallback": (
        "[where the caller goes](../flows/fallbacks.md#fallbacks) if no agent takes the call, such as "
        '`"queue,voicemail"`. Default: `CONFERRAL_INBOUND_FALLBACK`'
    ),
    "queue_limit": (
        "seconds that a caller may wait in [a queue](../waiting-callers.md) in all, 1 to 86400; default 600"
    ),
    "queue_say_every": (
        "seconds after which a caller in a queue is asked to stay on the line again, 0 for never; default 60"
    ),
    "confirm": (
        "`true`: an agent on a phone must press 1 before the caller is connected, [also in a "
        "bridge](../flows/bridges.md#an-agent-who-confirms), so that no voicemail takes the call"
    ),
    "confirm_for": (
        "with `confirm`: seconds in which the question is asked three times, 9 to 60; default 12. [What"
        " several agents add up to](../flows/bridges.md#several-agents-in-a-row)"
    ),
    "order": (
        '[who is rung first](../directory.md#who-is-rung): `"listed"` (default), or `"idle"`: the desk '
        "that has had no call for longest"
    ),
    "timezone": 'an IANA name such as `"Europe/Berlin"`, for `hours`',
    "hours": (
        '[when the agents are rung](../directory.md#hours), such as `"Mon-Fri 09:00-17:30, Sat '
        '10:00-14:00"`. Default: always'
    ),
    "holidays": "dates on which no hours begin, such as `[2026-12-25]`",
    "closed": (
        "with `hours`: where the caller goes outside of them, as `fallback`. Default: `end` (a message, then hang-up)"
    ),
}


def directory_page() -> str:
    """Return every key of a number's entry with its meaning."""
    intro = prose(
        'What an entry such as `[inbound."+12025550100"]` of [the directory](../directory.md) may have. Missing keys '
        "use the settings, or Twilio's defaults. Most are attributes of Twilio's [`<Conference>` and "
        "`<Dial>`](https://www.twilio.com/docs/voice/twiml/conference). For a bridged call, most apply "
        "once it is converted."
    )
    rows = [(f"`{key}`", MEANINGS[key]) for key in DirectoryEntry.model_fields]
    return page(
        "conferral/telephony/directory/ and scripts/directory_page.py",
        "# Keys of a number\n",
        intro,
        table(("Key", "Meaning"), rows),
    )
