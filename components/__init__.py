"""What Pulumi builds: one component a file; text is rendered in `fortress`."""
