"""The report: figures, tables, text and page."""
