#!/usr/bin/env bash
# Install this checkout, editable, into .venv, with the extras that are named and the versions of constraints.txt:
#
#     bash scripts/install.sh dev,demo         PYTHON=python3.13 VENV=/tmp/venv bash scripts/install.sh demo
#
# uv installs, in a third of pip's time. Where uv cannot be installed, or cannot reach the index, pip does it.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$1 venv=${VENV:-.venv}
export PIP_DISABLE_PIP_VERSION_CHECK=1
[ -x "$venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$venv"

# uv does not read pip's settings: an index that pip was given is passed on.
index=$("$venv/bin/pip" config get global.index-url 2>/dev/null || true)
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$index}}
[ -z "$index" ] || export UV_DEFAULT_INDEX=$index
[ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}

"$venv/bin/pip" install --quiet --only-binary uv -c constraints.txt uv || echo "no uv: pip installs" >&2
if [ -x "$venv/bin/uv" ] && VIRTUAL_ENV=$PWD "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" \
  -c constraints.txt --build-constraints constraints.txt -e ".[$extras]"; then
  exit
fi
PIP_CONSTRAINT=constraints.txt "$venv/bin/pip" install --quiet -e ".[$extras]"
