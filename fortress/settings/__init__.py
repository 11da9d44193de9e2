"""The stack file: models of its settings, and how it is read."""
