"""Sovereignty: the register of who processes personal data where, and the rules that hold a stack to it."""
