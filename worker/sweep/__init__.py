"""Account sweep: compares what is live at Twilio with the live sessions, so a lost callback costs one interval."""
