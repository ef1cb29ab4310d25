"""Actions of a transfer: start, handover, consult, park, recovery."""
