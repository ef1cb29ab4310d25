"""The Redis layout that all sides share: keys, codecs, scripts, publishing, commits, leases."""
