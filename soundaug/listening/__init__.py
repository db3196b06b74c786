"""What the report plays."""
