"""What Conferral is compared with, in the shortest idiomatic form; taskiq and Flask have their own environment."""
