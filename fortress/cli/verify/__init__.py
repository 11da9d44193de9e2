"""`fortress verify`: a fortress measured."""
