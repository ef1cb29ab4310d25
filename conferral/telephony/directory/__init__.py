"""The directory of destinations and inbound numbers."""
