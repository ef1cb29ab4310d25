"""Conference attributes as TwiML and as REST parameters.

Every leg sends the same attributes: the first participant's determine callbacks, region, and recording, and any leg may
be the first.

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


def records_conference(attributes: ConferenceAttributes) -> bool:
    """Whether the conference is recorded from its start."""
    return attributes.record == "true"


def conference_attributes(attributes: ConferenceAttributes, *, recording_url: str) -> dict[str, Any]:
    """Return attributes of `<Conference>` by the library's names, without Twilio's defaults except for beeps."""
    named = _common_attributes(attributes)
    if records_conference(attributes):
        named |= {
            "record": "record-from-start",
            "recording_status_callback": recording_url,
            "recording_status_callback_event": " ".join(RECORDING_EVENTS),
            "recording_status_callback_method": "POST",
        }
        if attributes.trim:
            named["trim"] = attributes.trim
    return named


def participant_attributes(attributes: ConferenceAttributes, *, recording_url: str) -> dict[str, Any]:
    """Return the same attributes as parameters of `Participants.create`."""
    named = _common_attributes(attributes)
    if records_conference(attributes):
        named |= {
            "conference_record": "true",
            "conference_recording_status_callback": recording_url,
            # One field per event, as for every other list.
            "conference_recording_status_callback_event": list(RECORDING_EVENTS),
            "conference_recording_status_callback_method": "POST",
        }
        if attributes.trim:
            named["conference_trim"] = attributes.trim
    return named


def _common_attributes(attributes: ConferenceAttributes) -> dict[str, Any]:
    values = {
        "jitter_buffer_size": attributes.jitter_buffer_size,
        "region": attributes.region,
        "max_participants": attributes.max_participants,
    }
    return {"beep": attributes.beep or "false"} | {name: value for name, value in values.items() if value}
