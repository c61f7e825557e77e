#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: make_root.sh SUITE ROOT
# Makes a Debian root folder that holds a real Blender with its window: trixie has 4.3, sid has 5.2.
# Takes about 2.5 minutes and 1.5 GiB; run again, it only adds what is missing. Needs root.
set -euo pipefail
suite=${1:?suite: trixie or sid} root=${2:?folder to make}
here=$(cd "$(dirname "$0")" && pwd)
command -v debootstrap >/dev/null || { apt-get update -q; apt-get install -y -q debootstrap; }
# the mirror that this machine itself uses
mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources)
recipe=/usr/share/debootstrap/scripts/$suite
[ -e "$recipe" ] || recipe=/usr/share/debootstrap/scripts/sid
[ -x "$root/bin/bash" ] || debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" "$recipe"
mkdir -p "$root"/{proc,sys,dev,tmp}
ln -sf /proc/self/mounts "$root/etc/mtab"
cp /etc/resolv.conf "$root/etc/resolv.conf" || true
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
# a mirror's sid can be past its date: follow this machine's own setting for that
apt-config dump | grep -E '^Acquire::Check-(Valid-Until|Date) ' >"$root/etc/apt/apt.conf.d/99host" || true
packages="blender xvfb xauth xdotool imagemagick libgl1-mesa-dri libegl-mesa0 libglx-mesa0 python3-numpy procps"
[ "$suite" = trixie ] || packages="$packages python3-cattr python3-fastjsonschema python3-pydantic godot"
"$here/in_root.sh" "$root" env DEBIAN_FRONTEND=noninteractive apt-get update -q
# shellcheck disable=SC2086
"$here/in_root.sh" "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages
"$here/in_root.sh" "$root" apt-get clean
"$here/in_root.sh" "$root" blender --version | head -1
