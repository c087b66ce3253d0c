#!/usr/bin/env bash
# Every test, by one command, on a Debian with Rust (rustup's stable), gcc, Python 3 and Node 20 or newer.
#
#   scripts/test.sh
#
# The last line counts what ran, `N passed, N failed, N skipped`; the lines before it say how long each step took, and what
# was skipped and why. Exit code 0: nothing failed. The tests start Postgres, Redis and nginx by themselves, the browser test
# needs Chromium, and instructions are counted by valgrind: Debian's are installed where there are none and it may. PG_BIN and
# REDIS_BIN (the folders of Postgres's programs and of redis-server) and CHROMIUM name others.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# Nothing is built twice where everything is thrown away.
if [ -n "${CI:-}" ]; then export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}; fi
exec </dev/null

passed=0
failed=0
skipped=0
summary=()
work=$(mktemp -d)
step_group=

cleanup() {
  if [ -n "$step_group" ]; then kill -TERM -- "-$step_group" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

note() {
  summary+=("$(printf '%-12s %-8s %5s  %s' "$1" "$2" "$3" "$4")")
}

skip() { # name, reason
  skipped=$((skipped + 1))
  note "$1" skipped - "$2"
  echo "== $1: skipped: $2"
}

# Counts the tests that a step's output tells of: by cargo's closing lines, node's and Autobahn's.
count() {
  local counts
  counts=$(awk '
    /^test result: / {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) p += $(i - 1)
        if ($i ~ /^failed/) f += $(i - 1)
        if ($i ~ /^ignored/) s += $(i - 1)
      }
    }
    /^# pass [0-9]+$/ { p += $3 }
    /^# (fail|cancelled) [0-9]+$/ { f += $3 }
    /^# skipped [0-9]+$/ { s += $3 }
    /^autobahn: (passed|FAILED): [0-9]+ of [0-9]+ cases ran, [0-9]+ not conformant$/ { p += $3 - $8; f += $8 + $5 - $3 }
    END { printf "%d %d %d", p, f, s }' "$1")
  read -r step_passed step_failed step_skipped <<<"$counts"
}

# step NAME COMMAND…: runs it in a process group of its own, shows what it says, times it and counts its tests. When it fails,
# that is counted as one failure at least, and the other steps go on. Exit code 77 says that it was skipped, and the last line why.
step() {
  local name=$1 log="$work/$1.log" start=$SECONDS code seconds told
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  echo 1 >"$work/code"
  set -m
  {
    code=0
    "$@" || code=$?
    echo "$code" >"$work/code"
  } 2>&1 | tee "$log" &
  set +m
  step_group=$(jobs -p %%)
  wait $! || true
  step_group=
  code=$(cat "$work/code")
  seconds=$((SECONDS - start))
  if [ "$code" = 77 ]; then
    skip "$name" "$(tail -n 1 "$log")"
    return
  fi
  count "$log"
  if [ "$code" != 0 ] && [ "$step_failed" = 0 ]; then step_failed=1; fi
  passed=$((passed + step_passed))
  failed=$((failed + step_failed))
  skipped=$((skipped + step_skipped))
  told=
  if [ "$((step_passed + step_skipped))" != 0 ]; then told="$step_passed passed, $step_failed failed, $step_skipped skipped"; fi
  if [ "$code" = 0 ] && [ "$step_failed" = 0 ]; then
    note "$name" ok "${seconds}s" "$told"
  else
    note "$name" FAILED "${seconds}s" "${told:+$told, }exit code $code"
  fi
  echo "== $name: ${seconds}s"
}

need() { # command, where it comes from
  command -v "$1" >/dev/null && return
  echo "scripts/test.sh needs $1: $2" >&2
  exit 2
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs a Debian package, as root or through sudo. Prints why it could not.
install_package() {
  command -v apt-get >/dev/null || { echo "no apt-get here"; return 1; }
  as_root true 2>/dev/null || { echo "neither root nor sudo without a password"; return 1; }
  as_root apt-get update -qq >&2 || { echo "apt-get update failed"; return 1; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2 || { echo "apt-get install $1 failed"; return 1; }
}

# Where the tests look for it.
postgres_is_here() {
  [ -n "${PG_BIN:-}" ] || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || [ -x "$(pg_config --bindir 2>/dev/null)/initdb" ]
}

# Installs the programs alone: Debian's package would make a cluster at once, and run it on port 5432 from then on.
install_postgres() (
  conf=/etc/postgresql-common/createcluster.d/fortifun-tests.conf
  as_root mkdir -p "${conf%/*}" 2>/dev/null || { echo "neither root nor sudo without a password"; exit 1; }
  trap 'as_root rm -f "$conf"' EXIT
  echo 'create_main_cluster = false' | as_root tee "$conf" >/dev/null
  install_package postgresql
)

redis_is_here() {
  [ -n "${REDIS_BIN:-}" ] || command -v redis-server >/dev/null
}

# Installs the program of a package alone: Debian's packages run their servers at once, and at every start of the machine.
install_server() (
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    as_root true 2>/dev/null || { echo "neither root nor sudo without a password"; exit 1; }
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  install_package "$1" || exit
  if command -v systemctl >/dev/null; then as_root systemctl disable --now "$1" >/dev/null 2>&1 || true; fi
)

# Debian's is where root alone looks for programs.
nginx_is_here() {
  PATH=$PATH:/usr/sbin:/sbin command -v nginx >/dev/null
}

browser_of() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name"; then return; fi
  done
  return 1
}

need cargo "https://rustup.rs"
need gcc "apt-get install gcc"
need python3 "apt-get install python3"
need node "Node 20 or newer, https://nodejs.org"
need npm "it comes with Node"
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  echo "scripts/test.sh needs Node 20 or newer, and this is $(node --version)" >&2
  exit 2
fi
for component in clippy rustfmt; do
  if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
    need rustup "https://rustup.rs, for $component"
    rustup component add "$component"
  fi
done

if ! postgres_is_here; then
  why=$(install_postgres) && postgres_is_here || {
    echo "scripts/test.sh needs Postgres: apt-get install postgresql, or PG_BIN (${why:-not found after installing it})" >&2
    exit 2
  }
fi

# Debian's Python comes without what makes an environment.
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  why=$(install_package python3-venv) || {
    echo "scripts/test.sh needs Python's environments: apt-get install python3-venv ($why)" >&2
    exit 2
  }
fi

if ! redis_is_here; then
  why=$(install_server redis-server) && redis_is_here || {
    echo "scripts/test.sh needs Redis: apt-get install redis-server, or REDIS_BIN (${why:-not found after installing it})" >&2
    exit 2
  }
fi

if ! nginx_is_here; then
  why=$(install_server nginx) && nginx_is_here || {
    echo "scripts/test.sh needs nginx: apt-get install nginx (${why:-not found after installing it})" >&2
    exit 2
  }
fi

target=$(cargo metadata --format-version 1 --no-deps --locked | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
# The server that the tests of cargo have built by then.
export FORTIFUN_BIN=${FORTIFUN_BIN:-$target/debug/fortifun}

# Everything that cargo builds is built for the whole workspace: what libraries are built with depends on who else is, and for one
# package alone many of them would be built once more.
rustdoc_strictly() { RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --workspace --no-deps --locked; }
# Its own target folder: the flag would have everything built anew.
loom() { RUSTFLAGS="${RUSTFLAGS:-} --cfg loom" cargo test --locked --package fortifun-loom --target-dir "$target/loom"; }
in_browser() { (cd tests/browser && "$@"); }
# The tests with Django are no part of `cargo test`: they need Python's packages, which the first run fetches.
lint() {
  cargo clippy --workspace --all-targets --locked -- -D warnings &&
    cargo clippy --workspace --test interop --locked -- -D warnings
}
# What is compared with the bytes of the real library is what that library says today.
golden() { PATH="${REDIS_BIN:+$REDIS_BIN:}$PATH" "$(tests/interop/venv.sh)/bin/python" tests/interop/golden.py --check; }

step format cargo fmt --all --check
step test cargo test --workspace --locked --no-fail-fast
step golden golden
step interop cargo test --workspace --locked --test interop -- --show-output
step clippy lint
step doc rustdoc_strictly
step bench cargo test --workspace --locked --bench '*'
step loom loom

# Those that drive a browser say so by what they import.
in_a_browser=$(cd tests/browser && grep -l playwright-core -- *.test.mjs)
in_node=$(cd tests/browser && grep -L playwright-core -- *.test.mjs)
if in_browser npm ci --no-audit --no-fund --loglevel=error; then
  # shellcheck disable=SC2086 # names without spaces, one word each
  step client in_browser node --test --test-reporter=tap $in_node
  if browser=$(browser_of) || { why=$(install_package chromium) && browser=$(browser_of); }; then
    export CHROMIUM=$browser
    # shellcheck disable=SC2086
    step browser in_browser node --test --test-reporter=tap --test-concurrency=1 $in_a_browser
  else
    skip browser "no Chromium: ${why:-not found after installing it}"
  fi
else
  failed=$((failed + 1))
  note client FAILED - "npm ci failed"
fi

if [ -e tests/conformance/autobahn.sh ]; then
  step autobahn tests/conformance/autobahn.sh
else
  skip autobahn "there is no tests/conformance/autobahn.sh"
fi

# The last one: it leaves the optimised server where those before it look for theirs.
if command -v valgrind >/dev/null || { why=$(install_package valgrind) && command -v valgrind >/dev/null; }; then
  step instructions cargo counts
else
  skip instructions "no valgrind: ${why:-not found after installing it}"
fi

echo
echo "== in all: ${SECONDS}s"
printf '%s\n' "${summary[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
