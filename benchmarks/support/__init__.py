"""What benchmarks share: load, child processes, a fake Twilio, and the results file."""
