#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: in_root.sh ROOT COMMAND...
# Runs COMMAND inside ROOT. /proc and /dev/shm are mounted in a private mount namespace, so nothing stays mounted.
# Folders named in BIND ("from:to from:to") are bound too: to is a path inside ROOT.
exec unshare --mount --propagation private sh -c '
root=$1; shift
mkdir -p "$root/dev/shm"
mount -t proc proc "$root/proc" && mount -t tmpfs tmpfs "$root/dev/shm" || exit 1
for pair in $BIND; do mkdir -p "$root${pair#*:}" && mount --rbind "${pair%%:*}" "$root${pair#*:}" || exit 1; done
exec chroot "$root" "$@"' sh "$@"
