"""Limits and formats that settings, commands, and files share.

Formats are parts of regular expressions.
"""

#: Seconds. Source: Twilio docs, Call resource, `Timeout` (600 at most).
RING_TIME_MIN_S, RING_TIME_MAX_S = 5, 600
#: Seconds for which a dialed party is asked to press 1.
CONFIRM_TIME_MIN_S, CONFIRM_TIME_MAX_S = 9, 60
#: In characters: of an announcement, and of where a caller continues.
URL_MAX = 2_000
#: In characters: about half a minute of speech.
SPOKEN_MAX = 500
SPOKEN_RULE = f"must be at most {SPOKEN_MAX} characters, without control characters"
#: Languages that have sentences.
LANGUAGES = ("en", "de", "es", "fr")
#: Source: Twilio docs, "Format phone numbers" (E.164): a plus sign and at most 15 digits, the first not 0.
NUMBER = r"\+[1-9][0-9]{6,14}"
#: Maximum name of a browser or app (characters). Source: Twilio docs, Voice JavaScript SDK, `Device`; error 31105.
IDENTITY_MAX = 121
#: Source: as above. TwiML may ring others, but the REST API refuses them with 21211.
IDENTITY = rf"[A-Za-z0-9_]{{1,{IDENTITY_MAX}}}"
#: A name that people read: no control characters, and not blank.
PERSON_NAME = r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,64}"
#: Control characters, line and paragraph separators. Source: Unicode, general categories Cc, Zl, Zp.
NO_TEXT = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
#: Source: W3C, Extensible Markup Language 1.0, section 2.2: a document can't contain these two.
NOT_IN_XML = r"\ufffe\uffff"
#: They can't be encoded. JSON Schema patterns can't name them.
SURROGATES = r"\ud800-\udfff"
