"""The live web page: shows what is in Redis as it changes, and gives the commands that its buttons stand for."""
