"""A stand-in for the provider plugin `pulumi-resource-command` 1.2.1 where the real one cannot be downloaded."""

# The real plugin's version with build metadata: of equal rank for the engine, and told apart by a reader.
VERSION = "1.2.1+stand-in"
NOTICE = (
    f"pulumi-resource-command {VERSION}: this is the stand-in of tests/doubles, not Pulumi's plugin; "
    "it is used where the real one cannot be downloaded"
)
