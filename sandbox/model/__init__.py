"""A pure model of Twilio Voice: calls, bridges, `<Dial>` and its action, conferences, participants.

Give a `TwilioModel` an input and its time; it returns what Twilio would do next. No I/O, clock, or randomness.
"""
