//! What is wrong with the settings.

use std::fmt;

/// Where a value came from; a later one wins over an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file of `--config` or `FORTIFUN_CONFIG`.
    File,
    /// The environment.
    Environment,
    /// A flag.
    Flag,
}

impl Origin {
    /// One word for `check-config`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "env",
            Self::Flag => "flag",
        }
    }
}

/// One setting that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The setting's name, or the unknown key as it was written.
    pub key: String,
    /// What was set, redacted where it is secret; empty where nothing was.
    pub value: String,
    /// What is wrong with it, and what would do.
    pub why: String,
    /// Who set it.
    pub origin: Origin,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)?;
        let from = match self.origin {
            Origin::Default => return Ok(()),
            Origin::File => "the file",
            Origin::Environment => "the environment",
            Origin::Flag => "a flag",
        };
        match self.value.as_str() {
            "" => write!(f, " (from {from})"),
            value => write!(f, " (`{value}` from {from})"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with the settings, at least one error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One line an error.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
