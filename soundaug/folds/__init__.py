"""Which clips train and which test, packed by fold."""
