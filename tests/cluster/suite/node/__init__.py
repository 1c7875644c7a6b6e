"""What the tests on a real node are made of: people who speak, the chart's release, and names."""
