#!/usr/bin/env bash
# A server that the compiler has laid out by what a run of it did (profile-guided optimisation): target/pgo/release/fortifun.
#
#   scripts/pgo.sh
#
# Three steps, ten minutes or so on two cores: a build that counts what it does, five scenarios of the harness against it, and the
# build that is laid out by their counts. Needs `rustup component add llvm-tools` besides what a build needs; LLVM_PROFDATA names
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
place=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" || true; fi; rm -rf "$place"' EXIT
export SECRET_KEY=a-secret-of-the-counting-build-32-bytes DATABASE_URL=sqlite:///$place/pgo.db
export HOST=127.0.0.1 PORT=0 ECHO=1 DRAIN_S=0 LOG_LEVEL=info
export CONNECTIONS_PER_USER=10000 CONNECTIONS_PER_IP=0 CONNECTS_PER_SECOND_PER_IP=0
export MESSAGES_PER_SECOND=100000 MESSAGES_BURST=1000000 COMMANDS_PER_SECOND=1000000
export TYPING_PER_SECOND=100000 READ_RECEIPTS_PER_SECOND=100000
"$server" migrate
"$server" user add pgo --count 5000
"$server" serve 2>"$place/log" &
pid=$!
for _ in $(seq 100); do
  address=$(sed -n 's/.* listening .*address=\([0-9.:]*\).*/\1/p' "$place/log")
  if [ -n "$address" ]; then break; fi
  sleep 0.1
done
if [ -z "$address" ]; then
  cat "$place/log" >&2
  exit 1
fi
run() { # scenario, arguments…
  echo "-- $*"
  target/release/fortifun-loadtest "$@" --url "ws://$address"
}
run echo --sessions 64 --duration-s 8
run fanout --conversations 100 --sessions 10 --duration-s 8 --first-user 1
run fanout --publishers 8 --window 32 --duration-s 8 --first-user 1
run handshakes --sessions 5000 --first-user 1
run chat --pairs 100 --window 4 --duration-s 8 --first-user 1
# It writes its counts when it ends by itself.
kill "$pid"
wait "$pid"
pid=
"$profdata" merge --output "$profile" "$counts"

echo "== the build"
RUSTFLAGS="-Cprofile-use=$profile" cargo build --release --locked --bin fortifun --target-dir target/pgo
ls -l target/pgo/release/fortifun
