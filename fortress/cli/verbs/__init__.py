"""A verb of the command a file: its options, its help, and in what order it does its work."""
