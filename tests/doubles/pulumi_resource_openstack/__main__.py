"""Starts the stand-in as the engine starts a plugin: `pulumi-resource-openstack ENGINE_ADDRESS`."""

from ..cloud_plugin.server import main
from .plugin import PLUGIN

main(PLUGIN)
