//! What the shell is told at the end.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::logging::redact;
use crate::server::PortUnavailable;
use crate::store::StoreError;

/// The codes, for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  failed while running, or `doctor` found something broken
  2  usage or settings
  3  database: not reachable, not writable, or of another version
  4  port not available";

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Database = 3,
    Port = 4,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Writes `error` to stderr, one line for each thing that is wrong, and returns its code.
pub(super) fn tell(error: &anyhow::Error) -> Code {
    // Nobody is left to tell when stderr is gone.
    let _ = io::stderr().lock().write_all(lines(error).as_bytes());
    code(error)
}

fn code(error: &anyhow::Error) -> Code {
    error
        .chain()
        .find_map(|cause| {
            if cause.is::<ConfigErrors>() {
                Some(Code::Usage)
            } else if cause.is::<StoreError>() {
                Some(Code::Database)
            } else if cause.is::<PortUnavailable>() {
                Some(Code::Port)
            } else {
                None
            }
        })
        .unwrap_or(Code::Failed)
}

fn lines(error: &anyhow::Error) -> String {
    let told = match error.downcast_ref::<StoreError>() {
        Some(store) => format!("DATABASE_URL: {store}"),
        None => format!("{error:#}"),
    };
    redact(&told).lines().flat_map(|line| ["fortifun: ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigErrors};
    use crate::store::StoreErrorKind;

    fn check(error: impl Into<anyhow::Error>, expect: Code, text: &str) {
        let error = error.into();
        assert_eq!(code(&error), expect);
        assert_eq!(lines(&error), text);
        assert_eq!(code(&error.context("while starting")), expect);
    }

    #[test]
    fn each_kind_of_error_has_its_code_and_one_line_a_cause() {
        let settings: ConfigErrors =
            Config::from_pairs(&[("PORT", "x"), ("DEBUG", "1"), ("SHARDS", "0")]).unwrap_err();
        check(
            settings,
            Code::Usage,
            "fortifun: PORT: must be a whole number from 0 to 65535 (`x` from the environment)\n\
             fortifun: SHARDS: must be a whole number from 1 to 64 (`0` from the environment)\n",
        );
        let detail = "no such file".to_owned();
        let store = StoreError { kind: StoreErrorKind::Unavailable, detail };
        check(store, Code::Database, "fortifun: DATABASE_URL: unavailable: no such file\n");
        let port = PortUnavailable {
            address: ([127, 0, 0, 1], 80).into(),
            source: io::ErrorKind::AddrInUse.into(),
        };
        check(
            port,
            Code::Port,
            "fortifun: PORT: cannot listen on 127.0.0.1:80: address in use: address in use\n",
        );
        check(anyhow::anyhow!("lost"), Code::Failed, "fortifun: lost\n");
    }
}
