"""The rules, a theme a module; `ALL` in fortress/sovereignty/evaluate.py has them in order."""
