#!/bin/sh
# Make what mmdebstrap built the system below every host of the lab: as a provider hands one out, and nothing more.
#   base.sh ROOT USER UID REPOSITORY
set -eu
root=$1 user=$2 uid=$3 repository=$4

# Nothing of the machine that built it: no mirror, no resolver, no name, no keys that all hosts would share.
rm -rf "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/ssh/ssh_host_* \
    "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* "$root"/var/lib/dbus/machine-id
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
: >"$root/etc/machine-id"
printf '# The lab has no resolver.\n' >"$root/etc/resolv.conf"
mkdir -p "$root/var/log/journal" "$root/var/log/apt" "$root/var/cache/apt/archives/partial"
printf 'deb [trusted=yes] %s ./\n' "$repository" >"$root/etc/apt/sources.list"
printf 'LANG=C.UTF-8\n' >"$root/etc/default/locale"

chroot "$root" useradd --create-home --uid "$uid" --shell /bin/bash "$user"
install -d -m 700 -o "$uid" -g "$uid" "$root/home/$user/.ssh"
printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$user" >"$root/etc/sudoers.d/lab"
chmod 440 "$root/etc/sudoers.d/lab"

cat >"$root/etc/ssh/sshd_config.d/lab.conf" <<'CONF'
PermitRootLogin no
PasswordAuthentication no
HostKey /etc/ssh/ssh_host_ed25519_key
CONF

chroot "$root" systemctl --quiet enable ssh.service systemd-networkd.service
# Timers that would take apt's lock now and then, and consoles that nobody sits at.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer console-getty.service systemd-networkd-wait-online.service
