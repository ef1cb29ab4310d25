"""What the sandbox's page shows, as plain data that becomes JSON: phones, rooms, requests, and what may go wrong."""
