"""`conferral watch`: live views in a terminal."""
