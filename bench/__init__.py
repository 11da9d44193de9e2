"""What the fortress costs beside what it is made of, measured on this machine."""
