"""What the runs say, and what a study of that size can say at all."""
