"""What `make bench` measures: one file per table, each on data folders of its own."""
