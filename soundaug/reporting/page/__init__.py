"""The report as one page to look at and listen to: a file that needs no other, no network and no server."""
