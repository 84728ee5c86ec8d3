"""What the processes of one environment speak with: the Runtime, Extensions, Telemetry and Logs API."""
