#!/usr/bin/env bash
# The main job on the encoder and the gallery that come with facesearch: who is this, is she known, and is she forgotten
# again? One real photograph (public domain, inside scikit-image), no dataset, no network, no GPU.
set -euo pipefail
HERE=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p demo && cd demo

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$'; printf ' %q' "$@"; printf '\n'; "$@" 2> >(grep -v '^encoder: ' >&2); }

rm -rf gallery && mkdir -m 700 gallery && cp "$HERE/index/gallery.sqlite" gallery
[ -d photos ] || "$HERE/.venv/bin/python" "$HERE/scripts/demo_photos.py" photos

say "1. The gallery that comes with facesearch (a copy), and how good its encoder was measured to be"
run facesearch info --gallery gallery

say "2. Ask for somebody who is not in it: the nearest people, and unknown"
run facesearch query photos/portrait.jpg --gallery gallery --top 3

say "3. Enroll her, and ask with changed copies of the photo, and with a drawing of a house"
run facesearch enroll "Eileen Collins" photos/portrait.jpg --gallery gallery
run facesearch query photos/changed --gallery gallery --top 1

say "4. Forget her: unknown again"
run facesearch forget "Eileen Collins" --gallery gallery
run facesearch query photos/changed/mirrored.jpg --gallery gallery --top 1
