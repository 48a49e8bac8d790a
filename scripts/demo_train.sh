#!/usr/bin/env bash
# Training from nothing, on people who do not exist: no dataset, no network, no GPU. A second run takes seconds,
# since every step knows what is done already.
set -euo pipefail
mkdir -p demo/train && cd demo/train

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$'; printf ' %q' "$@"; printf '\n'; "$@"; }

say "1. Draw people: 30 to learn from, 6 that the encoder will never have seen"
[ -d people ] || run facesearch toy people --people 30 --photos 16 --seed 1
[ -d strangers ] || run facesearch toy strangers --people 6 --photos 5 --seed 2

say "2. Find and align their faces, once"
run facesearch prepare people --out data --split random --val 0.2 --seed 1 2>/dev/null

say "3. Train a small encoder on them"
if [ -f run/curves.svg ] && [ -f runs/finished.json ]; then echo "(trained already: run/best.safetensors)"
elif [ -f run/config.toml ]; then run facesearch train --data data --out run --resume
else run facesearch train --data data --recipe toy --out run; fi

say "4. Embed every photo into a gallery"
run facesearch build-index --data data --gallery gallery

say "5. Ask for somebody who is not in it: unknown"
run facesearch query strangers/p001/00.png --gallery gallery --top 2

say "6. Enroll three photos of that person, and ask with another photo: found"
run facesearch enroll "Ada Example" strangers/p001/01.png strangers/p001/02.png strangers/p001/03.png --gallery gallery
run facesearch query strangers/p001/00.png --gallery gallery --top 2

say "7. Forget them: unknown again"
run facesearch forget "Ada Example" --gallery gallery
run facesearch query strangers/p001/00.png --gallery gallery --top 2

say "8. Measure"
run facesearch evaluate --data data --gallery gallery --report report
run facesearch info --gallery gallery
