"""What any stage runs on: one-line errors, outputs that are whole, work in progress, devices, threads and processes."""
