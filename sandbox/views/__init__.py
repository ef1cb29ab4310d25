"""JSON views for the phones' page: phones, conferences, requests, and faults."""
