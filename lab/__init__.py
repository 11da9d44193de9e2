"""Hosts on this machine: systemd-nspawn in network namespaces."""
