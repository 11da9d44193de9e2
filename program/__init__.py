"""The stack's own program: from settings to the arguments of components. It is not in the wheel."""
