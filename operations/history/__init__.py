"""What has happened to a session: its log as a time line, replayed, and followed live."""
