"""The views that pages subscribe to."""
