"""A stand-in for the provider plugin `pulumi-resource-openstack` 5.5.3 where the real one cannot be downloaded."""
