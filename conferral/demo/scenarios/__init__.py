"""The scenarios that the demo plays."""
