#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# usage: window.sh ROOT OUT COMMAND...
# Runs COMMAND (blender …) inside ROOT on a virtual 1280x800 screen with software OpenGL; OUT gets a screenshot
# every SHOT_EVERY seconds (default 5) as NNN.png and the command's log. Exit status: the command's.
set -u
root=$1 out=$2; shift 2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out" "$root/tmp/.X11-unix"
display=$((100 + RANDOM % 400))
# not a function: in the background that would be a shell of its own, and ending it would leave its program behind
run=("$here/in_root.sh" "$root" env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 DISPLAY=:$display
  LIBGL_ALWAYS_SOFTWARE=1 XDG_RUNTIME_DIR=/tmp PYTHONUNBUFFERED=1 ${ENVIRONMENT:-})
"${run[@]}" Xvfb :$display -screen 0 1280x800x24 -nolisten tcp >"$out/xvfb.log" 2>&1 & server=$!
for _ in $(seq 100); do [ -S "$root/tmp/.X11-unix/X$display" ] && break; sleep 0.1; done
"${run[@]}" "$@" >"$out/blender.log" 2>&1 & program=$!
n=0
while kill -0 $program 2>/dev/null; do
  sleep "${SHOT_EVERY:-5}"
  "${run[@]}" import -window root png:- >"$out/$(printf %03d $n).png" 2>/dev/null; n=$((n + 1))
done
wait $program; code=$?
kill $server; wait $server 2>/dev/null
exit $code
