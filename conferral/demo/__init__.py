"""The demo: everything on one machine, with a narrated call."""
