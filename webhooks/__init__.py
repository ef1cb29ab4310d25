"""Twilio's requests in, stream entries and TwiML out. Decides nothing about a session."""
