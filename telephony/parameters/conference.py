"""How a session's conference is set up, in TwiML's words and in those of the REST API.

Every leg that joins names the same, by whichever way it comes: callbacks, region and recording are the first
participant's to decide, and nobody knows which leg that will be.

Source: Twilio docs, TwiML `<Conference>`; Participants subresource, "Create a Participant".
"""

from typing import Any

from conferral.statemachine.conference_attributes import ConferenceAttributes

#: What we want to hear of every conference. Source: Twilio docs, TwiML `<Conference>`, `statusCallbackEvent`.
CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "modify", "announcement")
#: Who starts and who stops to speak: two callbacks each time.
SPEAKER_EVENT = "speaker"
#: What we want to hear of every recording. Source: Twilio docs, Recordings resource, `RecordingStatusCallbackEvent`.
RECORDING_EVENTS = ("in-progress", "completed", "absent")


def records_conference(attributes: ConferenceAttributes) -> bool:
    """Whether the conference is recorded from its start."""
    return attributes.record == "true"


def conference_attributes(attributes: ConferenceAttributes, *, recording_url: str) -> dict[str, Any]:
    """Attributes of `<Conference>`, by their names in the library; Twilio's own defaults are left out, save for beeps.

    Args:
        attributes: Of the session.
        recording_url: Where to tell of a recording.
    """
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
    """The same for somebody who is dialled straight into the conference.

    Args:
        attributes: Of the session.
        recording_url: Where to tell of a recording.
    """
    named = _common_attributes(attributes)
    if records_conference(attributes):
        named |= {
            "conference_record": "true",
            "conference_recording_status_callback": recording_url,
            # One field for each event, as with every other list.
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
