"""What every room of the command stands on."""
