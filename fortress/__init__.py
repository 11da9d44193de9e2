"""What a fortress is: settings, and the text of every file that lands on a host. No engine, no network."""
