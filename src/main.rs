//! The `fortifun` binary: hands its arguments to [`fortifun_realtime::cli`].

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fortifun_realtime::cli::run(std::env::args_os())
}
