"""Starts the stand-in as the engine starts a plugin: `pulumi-resource-command ENGINE_ADDRESS`."""

from .server import main

main()
