#!/usr/bin/env bash
# A Python environment with Django's channel layers in it, made once; prints its path.
#
#   tests/interop/venv.sh [DIRECTORY]        target/interop-venv where none is named

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:-$here/../../target/interop-venv}
wanted=$here/requirements.txt

if ! cmp -s "$wanted" "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" >&2
  # Last, so that a broken installation is made anew.
  cp "$wanted" "$venv/requirements.txt"
fi
(cd "$venv" && pwd)
