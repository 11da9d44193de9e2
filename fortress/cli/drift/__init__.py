"""`fortress drift`: pushed files against their hosts."""
