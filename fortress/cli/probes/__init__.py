"""Small programs that hosts run for the command; each is self-contained."""
