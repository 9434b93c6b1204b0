"""What the node keeps on disk, and the worker that keeps it: the header file, the database, the data directory."""
