"""`check`: what is wrong with a set-up, line by line, and how to mend it."""
