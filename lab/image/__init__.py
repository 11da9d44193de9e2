"""What hosts of the lab boot from."""
