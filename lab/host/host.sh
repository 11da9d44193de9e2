#!/bin/sh
# Carry one host of the lab for as long as it stands: mount its disk, boot it, boot it again when it asks for that.
# Runs in the host's control group and in a mount namespace of its own, so nothing of it shows on the machine.
#   host.sh NAME FOLDER BASE SITE VIEW
# FOLDER holds the disk; BASE is the read-only system below it; SITE is the network namespace with the site's bridge;
# VIEW is `pure` to give systemd-nspawn the plain cgroup2 view it needs on a machine that systemd does not run.
set -eu

log() { printf '%s %s: %s\n' "$(date -u +%FT%TZ)" "$name" "$*"; }

main() { # the whole script is read before any of it runs, so editing it does not disturb a standing host
    name=$1 folder=$2 base=$3 site=$4 view=$5
    if [ "$view" = pure ]; then
        umount -l /sys/fs/cgroup 2>/dev/null || true
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mount -t tmpfs -o mode=755 tmpfs /run
    else
        mkdir -p /run/systemd/nspawn # its locks go by host name, and other labs use the same names
        mount -t tmpfs -o mode=755 tmpfs /run/systemd/nspawn
    fi
    mount -t overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
    while :; do
        nsenter --net="$site" ip link delete "vb-$name" 2>/dev/null || true # of a host that was killed
        code=0
        nsenter --net="$site" systemd-nspawn --quiet --directory="$folder/root" --machine="$name" --boot \
            --register=no --keep-unit --network-bridge=br0 --bind=/dev/net/tun --bind-ro="$folder/volumes.conf:/run/tmpfiles.d/volumes.conf" --system-call-filter=bpf \
            --resolv-conf=off --timezone=off --link-journal=no </dev/null || code=$?
        log "systemd-nspawn ended with $code"
        [ "$code" -eq 133 ] || exit "$code" # 133: the host asked for a reboot
    done
}

main "$@"
exit
