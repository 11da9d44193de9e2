"""The settings that are secret."""

from __future__ import annotations

SECRETS = {
    "database_password": "Password of the application's account. Required.",
    "database_account_passwords": "Passwords of `database.accounts`, a mapping by account; each is set with "
    "`pulumi config set --path --secret data-fortress:database_account_passwords.NAME`.",
    "database_replication_password": "Password by which copies of the database read from each other; with "
    "`database.mode: replica`.",
    "database_volume_key": "Key of the data's volume, 20 characters or more; with `database.volume.encrypted`.",
    "backup_password": "Key that backups are encrypted with, 20 characters or more; with `database.backup`. Without it "
    "they cannot be read: keep it somewhere else too.",
    "backup_sftp_key": "SSH private key without a passphrase; with `database.backup.sftp`.",
    "backup_s3_secret_access_key": "Secret of `access_key_id`; with `database.backup.s3`.",
    "ssh_private_key": "A key without a passphrase, instead of the SSH agent; the state then holds it, encrypted.",
    "edge_tls_key": "Private key of `edge.certificate`, in PEM.",
    "openstack_application_credential_secret": "Secret of `application_credential_id` of a site on OpenStack.",
    "aws_secret_access_key": "Secret of `access_key_id` of a site on AWS.",
}
"""The settings that are secret: name and what it is. They are no part of `Settings`, so that nothing made from those
becomes unreadable."""
