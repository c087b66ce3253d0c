//! What a check found.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Verdict {
    /// Well.
    Ok,
    /// Works, and will not under load or in production.
    Warn,
    /// Does not work.
    Fail,
}

/// One check's outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// What was looked at, a colon, and what was found.
    pub(super) what: String,
    /// A command, or what to change; empty where all is well.
    pub(super) mend: String,
}

impl Finding {
    pub(super) fn ok(what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, what: what.into(), mend: String::new() }
    }

    pub(super) fn warn(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, what: what.into(), mend: mend.into() }
    }

    pub(super) fn fail(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, what: what.into(), mend: mend.into() }
    }
}

/// One line, and one more with what mends it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        writeln!(f, "{verdict}  {}", self.what)?;
        if self.mend.is_empty() { Ok(()) } else { writeln!(f, "      -> {}", self.mend) }
    }
}
