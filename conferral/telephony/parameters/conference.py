"""Conference attributes as TwiML and as REST parameters.

Every leg sends the same: only the first participant's count, and any leg may be the first.
Source: Twilio docs, TwiML `<Conference>`; Participants subresource, "Create a Participant".
"""

from typing import Any

from conferral.statemachine.conference_attributes import ConferenceAttributes

#: Events requested of every conference. Source: Twilio docs, TwiML `<Conference>`, `statusCallbackEvent`.
CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "modify", "announcement")
#: Speech start and end: two callbacks each time.
SPEAKER_EVENT = "speaker"
#: Events requested of every recording. Source: Twilio docs, Recordings resource, `RecordingStatusCallbackEvent`.
RECORDING_EVENTS = ("in-progress", "completed", "absent")


def conference_attributes(attributes: ConferenceAttributes, *, recording_url: str) -> dict[str, Any]:
    """Return attributes of `<Conference>` by the library's names."""
    return _attributes(attributes, recording_url, "", "record-from-start", " ".join(RECORDING_EVENTS))


def participant_attributes(attributes: ConferenceAttributes, *, recording_url: str) -> dict[str, Any]:
    """Return the same attributes as parameters of `Participants.create`."""
    # One field per event, as for every other list.
    return _attributes(attributes, recording_url, "conference_", "true", list(RECORDING_EVENTS))


def _attributes(
    attributes: ConferenceAttributes, recording_url: str, prefix: str, record: str, events: str | list[str]
) -> dict[str, Any]:
    """Return attributes; `prefix` and `record` are for the recording."""
    named = {
        "beep": attributes.beep or "false",  # Twilio beeps by default
        "jitter_buffer_size": attributes.jitter_buffer_size,
        "region": attributes.region,
        "max_participants": attributes.max_participants,
    }
    if attributes.record == "true":
        named |= {
            f"{prefix}record": record,
            f"{prefix}recording_status_callback": recording_url,
            f"{prefix}recording_status_callback_event": events,
            f"{prefix}recording_status_callback_method": "POST",
            f"{prefix}trim": attributes.trim,
        }
    return {name: value for name, value in named.items() if value}
