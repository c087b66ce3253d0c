# One word for each thing that is done every day; `scripts/test.sh` is what has to pass.

set shell := ["bash", "-euo", "pipefail", "-c"]

default:
    @just --list

# Format, lints and types: what is worth running at each save.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --test interop -- -D warnings

# Everything, as a continuous integration runs it.
test:
    scripts/test.sh

# The whole server in virtual time, from many seeds.
sim:
    cargo test --test simulation

# The same from one seed, the one that a failing run has printed.
replay SEED:
    SIM_SEED={{SEED}} cargo test --test simulation -- --nocapture

# Arbitrary bytes and sequences of operations; PROPTEST_CASES says how many, the corpora of tests/fuzz come along.
fuzz CASES="100000":
    PROPTEST_CASES={{CASES}} cargo test --release --lib -- properties

# Measure; `cargo test --benches` runs each once.
bench *ARGS:
    cargo bench {{ARGS}}

# Count instructions, and hold them to benches/instructions.toml; UPDATE_COUNTS=1 writes it.
count:
    cargo counts

# Real clients against a server that runs: `just load chat --help`.
load *ARGS:
    cargo run --release --package fortifun-loadtest -- {{ARGS}}

# A server that the compiler has laid out by what a run of it did, in target/pgo/release; tuning.md says what that gives.
pgo:
    scripts/pgo.sh
