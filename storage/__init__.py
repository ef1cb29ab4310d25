"""Redis storage, shared by all processes: keys, codecs, scripts, ingest, commits, leases, and queries."""
