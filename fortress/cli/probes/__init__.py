"""Small programs that hosts run for the command; each stands alone."""
