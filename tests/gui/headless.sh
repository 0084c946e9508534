#!/bin/bash
# `blender -b --command aios ...` of a real Blender in which the zip is installed: what it writes, and its exit codes.
#   tests/gui/headless.sh ROOT CHECKOUT PYTHON       # after click_through.py has installed the extension
set -u
root=$1 checkout=$2 python=$(realpath -s "$2/$3")
footage=$checkout/examples/footage
aios() { "$checkout/tools/windowed_blender.sh" background "$root" --command aios "$@" 2>"$root/t/stderr"; }
expect() {  # CODE WORDS VERB...
  code=$1 words=$2; shift 2
  aios "$@" >"$root/t/stdout"; got=$?
  if [ $got != "$code" ] || ! cat "$root/t/stdout" "$root/t/stderr" | grep -q "$words"; then
    echo "aios $*: exit code $got, wanted $code and '$words'"; tail -n 5 "$root/t/stdout" "$root/t/stderr"; exit 1
  fi
  echo "aios $1: $code, $words"
}
rm -rf "$root/t/clips"
expect 0 scene.blend import "$footage/plaza.truth.npz" -o /t/scene.blend
expect 0 'scene.fbx' export /t/scene.blend -o /t/scene.fbx
expect 2 'No such Mocap file' import /t/no.npz -o /t/x.blend
expect 0 photo.blend run "$footage/astronaut.jpg" -o /t/photo.blend --python "$python" --max-people 1
expect 2 'No such footage' run /t/no.mp4 -o /t/x.blend --python "$python"
expect 0 '2 done' run "$footage/astronaut.jpg" "$footage/plaza.mp4" -o /t/clips --stop 4 --python "$python"
expect 0 '2 kept' run "$footage/astronaut.jpg" "$footage/plaza.mp4" -o /t/clips --stop 4 --python "$python"
expect 0 dancer tracks --python "$python" "$footage/plaza.truth.npz" list
expect 2 'required' run
[ -s "$root/t/clips/plaza.blend" ] && [ ! -e "$root/t/x.blend" ] || { echo "files are not as expected"; exit 1; }
