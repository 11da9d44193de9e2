"""`fortress audit`: the rules on a standing stack, from its state."""
