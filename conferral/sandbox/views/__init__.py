"""JSON views for the phones' page: phones, traffic, and faults."""
