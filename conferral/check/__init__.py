"""`check`: find setup problems and say how to fix each one."""
