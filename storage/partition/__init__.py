"""What a worker writes for one partition: lease, sessions, events, dial claims."""
