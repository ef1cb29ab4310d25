"""Account sweep: compares Twilio's live calls with the live sessions."""
