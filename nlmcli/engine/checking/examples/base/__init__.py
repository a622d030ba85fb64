"""What the worked examples share."""
