"""Webhooks: verify Twilio's requests, publish events, answer with TwiML."""
