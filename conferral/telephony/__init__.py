"""Twilio: TwiML, callbacks, REST; addresses, allow-list, and directory."""
