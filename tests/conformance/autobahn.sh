#!/usr/bin/env bash
# The Autobahn Testsuite, cases 1 to 10 (RFC 6455 without extensions), against `/_echo` of a running server.
#
#   FORTIFUN_BIN=target/release/fortifun tests/conformance/autobahn.sh
#
# FORTIFUN_BIN   the server to test; default: target/release/fortifun, else target/debug/fortifun
# AUTOBAHN_HOME  where the suite is installed, once; default: ${XDG_CACHE_HOME:-$HOME/.cache}/fortifun-autobahn
# AUTOBAHN_CASES cases to run, a JSON array; default: 1.* to 10.*
#
# Exit codes: 0 every case is OK, NON-STRICT or INFORMATIONAL; 1 some case is not, or was not run; 77 skipped, because this
# machine has no Python 2.7, which the suite needs.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
home=${AUTOBAHN_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/fortifun-autobahn}
cases=${AUTOBAHN_CASES:-'["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "8.*", "9.*", "10.*"]'}

skip() {
  echo "autobahn: SKIPPED: $1"
  exit 77
}

fail() {
  echo "autobahn: $1" >&2
  exit 1
}

# Prints the first Python 2.7 that runs; the shims of pyenv are on the path even where no version answers.
find_python27() {
  local candidate
  for candidate in python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

# The suite is old: each pin is the newest version that it works with on Python 2.7, in the order in which they build.
install() {
  local python27=$1 pip="$home/suite/bin/pip"
  echo "autobahn: installing into $home (once, about a minute)"
  rm -rf "$home"
  python3 -m venv "$home/tool"
  "$home/tool/bin/pip" install --quiet 'virtualenv==20.21.1'
  "$home/tool/bin/virtualenv" --quiet --python "$python27" "$home/suite"
  "$pip" install --quiet 'incremental==16.10.1' 'pyOpenSSL==19.1.0' 'cryptography==3.3.2'
  "$pip" install --quiet --no-build-isolation 'Twisted==19.10.0'
  "$pip" install --quiet 'autobahntestsuite==25.10.1'
  touch "$home/installed"
}

python27=$(find_python27) || skip "no Python 2.7 here (looked for python2.7 and pyenv's versions)"
if [ ! -e "$home/installed" ]; then
  install "$python27" >"${TMPDIR:-/tmp}/autobahn-install.$$" 2>&1 || {
    tail -n 20 "${TMPDIR:-/tmp}/autobahn-install.$$" >&2
    fail "the suite cannot be installed"
  }
  rm -f "${TMPDIR:-/tmp}/autobahn-install.$$"
fi

binary=${FORTIFUN_BIN:-}
if [ -z "$binary" ]; then
  for binary in "$root/target/release/fortifun" "$root/target/debug/fortifun"; do
    [ -x "$binary" ] && break
  done
fi
[ -x "$binary" ] || fail "no server at $binary: build it, or set FORTIFUN_BIN"

work=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# There before anybody looks into it.
: >"$work/server.log"
env -i PATH="$PATH" HOST=127.0.0.1 PORT=0 DEBUG=1 ECHO=1 DATABASE_URL="sqlite:///$work/autobahn.db" \
  CONNECTS_PER_SECOND_PER_IP=0 "$binary" serve 2>"$work/server.log" &
server=$!

address=
for _ in $(seq 100); do
  address=$(sed -n 's/.*listening address=\([0-9.:]*\).*/\1/p' "$work/server.log")
  [ -n "$address" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
[ -n "$address" ] || { cat "$work/server.log" >&2; fail "the server does not listen"; }

cat >"$work/spec.json" <<SPEC
{
  "outdir": "$work/reports",
  "servers": [{"agent": "fortifun", "url": "ws://$address/_echo", "options": {"version": 18}}],
  "cases": $cases,
  "exclude-cases": [],
  "exclude-agent-cases": {}
}
SPEC

# wstest tells nothing by its exit code; what it found is in its index.
"$home/suite/bin/wstest" -m fuzzingclient -s "$work/spec.json" >"$work/wstest.log" 2>&1 || true
kill -0 "$server" 2>/dev/null || { tail -n 20 "$work/server.log" >&2; fail "the server died"; }
python3 "$here/autobahn_report.py" "$work/reports/index.json" "$work/wstest.log"
