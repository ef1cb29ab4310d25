"""A pure model of Twilio Voice: no I/O, clock, or randomness.

Give a `TwilioModel` an input and its time; it returns what Twilio would do next.
"""
