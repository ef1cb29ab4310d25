"""A session's history: its log as a timeline, replayed, and followed live."""
