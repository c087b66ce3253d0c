#!/usr/bin/env bash
# A server that the compiler has laid out by what a run of it did (profile-guided optimisation): target/pgo/release/fortifun.
#
#   scripts/pgo.sh
#
# Three steps, ten minutes or so on two cores: a build that counts what it does, five scenarios of the harness against it, and the
# build that is laid out by their counts. Needs `rustup component add llvm-tools` besides what a build needs. LLVM_PROFDATA names
# that tool where it stands elsewhere. What it gives: tuning.md.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
counts=$PWD/target/pgo/counts
profile=$PWD/target/pgo/fortifun.profdata
server=$PWD/target/pgo/counting/release/fortifun

profdata=${LLVM_PROFDATA:-$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin/llvm-profdata}
if [ ! -x "$profdata" ]; then
  echo "scripts/pgo.sh needs $profdata: rustup component add llvm-tools" >&2
  exit 2
fi

echo "== a build that counts"
RUSTFLAGS="-Cprofile-generate=$counts" cargo build --release --locked --bin fortifun --target-dir target/pgo/counting
cargo build --release --locked --package fortifun-loadtest

echo "== what it does"
rm -rf "$counts"
run() { # scenario, arguments…
  echo "-- $*"
  target/release/fortifun-loadtest "$@" --server "$server"
}
run echo --sessions 64 --duration-s 8
run fanout --conversations 100 --sessions 10 --duration-s 8
run fanout --publishers 8 --window 32 --duration-s 8
run handshakes --sessions 5000
run chat --duration-s 8

if ! compgen -G "$counts/*.profraw" >/dev/null; then
  echo "scripts/pgo.sh: the server has left no counts in $counts" >&2
  exit 1
fi
"$profdata" merge --output "$profile" "$counts"

echo "== the build"
RUSTFLAGS="-Cprofile-use=$profile" cargo build --release --locked --bin fortifun --target-dir target/pgo
ls -l target/pgo/release/fortifun
