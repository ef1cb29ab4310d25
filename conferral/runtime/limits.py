"""Limits and formats that settings, commands, and files share."""

#: Seconds. Source: Twilio docs, Call resource, `Timeout` (600 at most).
RING_TIME_MIN_S, RING_TIME_MAX_S = 5, 600
#: In characters: of an announcement, and of where a caller continues.
URL_MAX = 2_000
#: Source: Twilio docs, "Format phone numbers" (E.164): a plus sign and at most 15 digits, the first not 0.
NUMBER = r"\+[1-9][0-9]{6,14}"
