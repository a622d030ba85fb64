"""What the heads of all tasks share."""
