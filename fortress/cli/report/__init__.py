"""`fortress report`: one page about a fortress."""
