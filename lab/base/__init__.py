"""What the lab stands on: folders, processes, control groups."""
