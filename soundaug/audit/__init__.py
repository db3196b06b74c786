"""What must not have reached a training."""
