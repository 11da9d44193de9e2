"""The `fortress` command: reads a stack's outputs by the engine, asks its hosts over SSH, and says what holds."""
