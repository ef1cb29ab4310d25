"""Webhooks: verify Twilio's requests, publish events, answer with TwiML. They decide nothing about a session."""
