#!/usr/bin/env bash
# For those who have a GPU for a quarter of an hour: tests, benchmark, training, on a bare machine with torch and no package registry.
#
#   scripts/on_gpu.sh                     all parts, in the order tests bench train alone, within MINUTES
#   scripts/on_gpu.sh tests bench         these alone
#
# It works from a folder that holds nothing but this checkout and what is carried in PACKS:
#   *.whl                                 packages that the machine lacks
#   celeba500-*.zip extra-*.zip faces-*.zip   crops: labelled, labelled, of nobody in particular (scripts/pack.py)
#   teacher.onnx  start.safetensors       the teacher, and the encoder to begin with, if any
# What it makes lies in OUT: log, bench.json, and the encoder in half precision with its notes, in pieces of at most 15 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
PACKS=${PACKS:-.gpu} OUT=${OUT:-runs/on_gpu} MINUTES=${MINUTES:-14} DEVICE=${DEVICE:-cuda} PYTHON=${PYTHON:-python3}
SETTINGS=${SETTINGS:-} # more for the training, such as "--set batch_size=64"
BEGUN=${BEGUN:-$(date +%s)}
mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if compgen -G "$PACKS/*.whl" >/dev/null; then
  SITE=${SITE:-$(mktemp -d)}
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$SITE" "$PACKS"/*.whl
  export PYTHONPATH="$PYTHONPATH:$SITE"
fi

say() { echo "== $* ($(($(date +%s) - BEGUN)) s gone)"; }
left() { awk -v m="$MINUTES" -v s="$(($(date +%s) - BEGUN))" 'BEGIN { printf "%d", m * 60 - s }'; }
each() { local option=$1 file; shift; for file in "$@"; do [ -e "$file" ] && printf '%s\n%s\n' "$option" "$file"; done; return 0; }

tests() {
  say "tests marked gpu; the one of two processes skips itself where there is one GPU"
  "$PYTHON" -m pytest -m gpu -q -p no:cacheprovider -rs tests/training/test_train.py tests/training/test_together.py tests/training/test_gpu_path.py
}

bench() {
  say "speed"
  mapfile -t data < <(each --data "$PACKS"/celeba500-*.zip | head -n 2)
  "$PYTHON" scripts/bench_train.py --device "$DEVICE" --recipe distil-gpu --teacher "$PACKS/teacher.onnx" "${data[@]}" --quick $SETTINGS \
    --out "$OUT/bench.json"
}

train() {
  local minutes start=()
  minutes=${TRAIN_MINUTES:-$(awk -v s="$(left)" 'BEGIN { printf "%.2f", (s - 30) / 60 }')}
  [ -e "$PACKS/start.safetensors" ] && start=(--set "pretrained=\"$PACKS/start.safetensors\"")
  say "training for $minutes min"
  mapfile -t data < <(each --data "$PACKS"/celeba500-*.zip "$PACKS"/extra-*.zip; each --unlabelled "$PACKS"/faces-*.zip)
  "$PYTHON" -m facesearch train --device "$DEVICE" --recipe distil-gpu --teacher "$PACKS/teacher.onnx" --minutes "$minutes" "${data[@]}" \
    "${start[@]}" $SETTINGS --out "$OUT/run"
  "$PYTHON" scripts/bring_home.py "$OUT/run" "$OUT/home" --pieces-mb 15
}

alone() {
  local minutes runs=2 # the first takes half of the time that is left, the second the rest
  mapfile -t data < <(each --data "$PACKS"/celeba500-*.zip)
  for recipe in default seed-arcface; do
    minutes=$(awk -v s="$(left)" -v n="$runs" 'BEGIN { printf "%.2f", (s / n - 20) / 60 }')
    runs=$((runs - 1))
    if awk -v m="$minutes" 'BEGIN { exit !(m < 1) }'; then say "no time for $recipe"; return 0; fi
    say "$recipe on CelebA-500 alone"
    "$PYTHON" -m facesearch train --device "$DEVICE" --recipe "$recipe" --minutes "$minutes" "${data[@]}" --out "$OUT/$recipe"
    "$PYTHON" scripts/bring_home.py "$OUT/$recipe" "$OUT/$recipe-home"
  done
}

if [ $# = 0 ]; then set -- tests bench train alone; fi
for part in "$@"; do "$part" 2>&1 | tee -a "$OUT/log"; done
say "done" | tee -a "$OUT/log"
