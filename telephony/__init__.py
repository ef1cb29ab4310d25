"""Twilio's language, both ways: TwiML, callbacks, REST requests and their errors."""
