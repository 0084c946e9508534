#!/bin/bash
# A real Blender with a window on a Debian machine without a screen or GPU: `make test-gui` uses it.
#   windowed_blender.sh install SUITE ROOT             # trixie: Blender 4.3, sid: Blender 5.2; needs root and debootstrap
#   windowed_blender.sh run ROOT SCRIPT.py ARGUMENTS   # the script in a window; ROOT/t is /t inside
#   windowed_blender.sh background ROOT ARGUMENTS      # `blender -b ARGUMENTS` with the same settings, for its exit code
#   windowed_blender.sh unmount ROOT                   # before deleting ROOT
set -e
command=$1; suite=$2; shift
mirror=${MIRROR:-$(grep -hEo 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -1)}

mount_into() {
  for folder in proc sys dev dev/shm; do
    mountpoint -q "$1/$folder" || mount --bind "/$folder" "$1/$folder"
  done
  cp /etc/resolv.conf "$1/etc/resolv.conf"
  for folder in ${SHARED:-}; do  # further folders that are the same inside: the runtime's Python, for example
    mkdir -p "$1$folder"
    mountpoint -q "$1$folder" || mount --bind "$folder" "$1$folder"
  done
}

case $command in
install)
  root=$2
  [ -x "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase "$suite" "$root" "$mirror"
  mount_into "$root"
  # Mirrors may lag: the signature is checked all the same.
  echo 'Acquire::Check-Valid-Until "false";' > "$root/etc/apt/apt.conf.d/99lagging"
  printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"; chmod +x "$root/usr/sbin/policy-rc.d"
  chroot "$root" apt-get update -q
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -q --no-install-recommends blender python3-cattr \
    python3-requests python3-numpy python3-venv xvfb xauth libgl1-mesa-dri libegl-mesa0 libglx-mesa0 imagemagick
  mkdir -p "$root/t" ;;
run)
  root=$1; script=$2; shift 2
  mount_into "$root"
  cp "$script" "$(dirname "$script")"/*.py "$root/t/"
  chroot "$root" env HOME=/t/home BLENDER_USER_RESOURCES=/t/user XDG_RUNTIME_DIR=/tmp/xdg LIBGL_ALWAYS_SOFTWARE=1 \
    bash -c 'mkdir -p $HOME $XDG_RUNTIME_DIR /tmp/.X11-unix; chmod 700 $XDG_RUNTIME_DIR
      exec timeout --foreground ${LIMIT:-600} xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" blender --gpu-backend opengl \
        --enable-event-simulate --window-geometry 0 0 1600 1200 -noaudio --python "$@"' _ "/t/$(basename "$script")" -- "$@" ;;
background)
  root=$1; shift
  mount_into "$root"
  chroot "$root" env HOME=/t/home BLENDER_USER_RESOURCES=/t/user blender -b "$@" ;;
unmount)
  for folder in ${SHARED:-} dev/shm dev sys proc; do
    ! mountpoint -q "$1/$folder" || umount -l "$1/$folder"
  done ;;
esac
