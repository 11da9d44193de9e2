"""The settings that are secret."""

from __future__ import annotations

SECRETS = {
    "database_password": "Password of the application's account. Required.",
    "database_volume_key": "Key of the data's volume, 20 characters or more; with `database.volume.encrypted`.",
    "ssh_private_key": "A key without a passphrase, instead of the SSH agent; the state then holds it, encrypted.",
    "edge_tls_key": "Private key of `edge.certificate`, in PEM.",
    "openstack_application_credential_secret": "Secret of `application_credential_id` of a site on OpenStack.",
    "aws_secret_access_key": "Secret of `access_key_id` of a site on AWS.",
}
"""The settings that are secret: name and what it is. They are no part of `Settings`, so that nothing made from those
becomes unreadable."""
