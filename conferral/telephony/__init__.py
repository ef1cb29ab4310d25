"""Twilio API: TwiML, callbacks, REST requests, and error translation."""
