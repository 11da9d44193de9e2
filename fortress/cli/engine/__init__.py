"""The Pulumi engine: its processes, its state, its outputs."""
