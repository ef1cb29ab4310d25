"""A local Twilio: REST API, TwiML, signed callbacks, phones with scripted behaviour, and faults on demand."""
