"""What in docs/ is made of the code: `python -m docs.parameters` and `python -m docs.dag` write it anew."""
