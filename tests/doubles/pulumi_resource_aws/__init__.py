"""A stand-in for the provider plugin `pulumi-resource-aws` 7.51.1 where the real one, or the cloud, cannot be had."""

# The real plugin's version with build metadata: of equal rank for the engine, and told apart by a reader.
VERSION = "7.51.1+stand-in"
