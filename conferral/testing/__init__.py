"""What tests of your own app have: all of Conferral, on this machine."""

from conferral.testing.stack import ConferralStack as ConferralStack
