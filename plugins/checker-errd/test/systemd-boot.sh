#!/bin/sh
# Becomes a systemd of its own, the init of this PID namespace, with a few units and nothing else. $1 folder of the units.
# Called in new mount, PID, control group, host name and IPC namespaces: what is mounted here ends with them.
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/units
cp "$1"/* /run/units
mount -t tmpfs tmpfs /var/lib/systemd
mount --bind /run/units /etc/systemd/system
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i PATH="$PATH" container=lab /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no
