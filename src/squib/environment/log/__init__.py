"""What is written down of one environment: lines, events, figures, and where they go."""
