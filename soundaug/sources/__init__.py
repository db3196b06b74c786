"""Where labelled clips come from, and the table of them."""
