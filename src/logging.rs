//! Log lines: text or JSON on stderr, written by a thread of their own, with every token taken out on the way.
//!
//! The queue to that thread is bounded: when it is full, lines are dropped and counted, and nobody waits. A line that a
//! peer can cause goes through a [`LogGate`].

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogLevel, LogSettings, REDACTED};
use crate::time::Mono;

/// Lines that wait for the writer.
const LINES_MAX: usize = 8_192;

/// The running log. Dropping it writes what is queued.
#[derive(Debug)]
pub struct Log {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// Starts the writer and makes it the log of the whole process, of panics too.
    ///
    /// # Errors
    ///
    /// The process has a log already.
    pub fn start(settings: LogSettings) -> anyhow::Result<Self> {
        let (queue, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(LINES_MAX)
            .lossy(true)
            .thread_name("log")
            .finish(io::stderr());
        let dropped = queue.error_counter();
        let builder = tracing_subscriber::fmt()
            .with_max_level(level_filter(settings.level))
            .with_ansi(!settings.is_json && io::stderr().is_terminal())
            .with_writer(Redacting(queue));
        let installed = if settings.is_json {
            builder.json().flatten_event(true).try_init()
        } else {
            builder.try_init()
        };
        installed.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
        std::panic::set_hook(Box::new(|info| tracing::error!(target: "panic", "{info}")));
        Ok(Self { _guard: guard, dropped })
    }

    /// Counts the lines that were dropped because the queue was full, whenever it is called.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let dropped = self.dropped.clone();
        move || dropped.dropped_lines() as u64
    }
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

/// A writer of whole lines that lets no token through.
#[derive(Clone, Debug)]
struct Redacting<W>(W);

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match redact(&String::from_utf8_lossy(line)) {
            Cow::Borrowed(_) => self.0.write_all(line)?,
            Cow::Owned(clean) => self.0.write_all(clean.as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl MakeWriter<'_> for Redacting<NonBlocking> {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What stands before a token, in lower case, and the fewest characters after it that are taken for one.
const MARKS: &[(&str, usize)] = &[
    ("token=", 1),
    ("\"token\":\"", 1),
    ("bearer.", 16),
    ("bearer ", 16),
    // Base64 of `{"`, with which a JWT's header begins (RFC 7515 §3.1).
    ("eyj", 16),
];

/// `text` without tokens: after `token=`, after `Bearer`, and wherever something has the shape of a JWT.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut clean = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        match token_at(&text.as_bytes()[at..]) {
            Some((start, end)) => {
                clean.push_str(&text[copied..at + start]);
                clean.push_str(REDACTED);
                at += end;
                copied = at;
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(&text[copied..]);
    Cow::Owned(clean)
}

/// Where the token is whose mark stands at the beginning of `bytes`. Both ends lie beside ASCII.
fn token_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mark, len_min) = MARKS.iter().find(|(mark, _)| {
        bytes.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark.as_bytes()))
    })?;
    let after = &bytes[mark.len()..];
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=%".contains(b);
    let len = after.iter().take_while(|b| is_token(b)).count();
    let start = if *mark == "eyj" { 0 } else { mark.len() };
    (len >= *len_min).then_some((start, mark.len() + len))
}

/// Lets one line through in an interval and counts the others, for lines that a peer can cause.
#[derive(Clone, Copy, Debug)]
pub struct LogGate {
    interval_ms: u64,
    last: Option<Mono>,
    suppressed: u64,
}

impl LogGate {
    /// A gate that opens once in `interval_ms`, the first time at once.
    pub const fn new(interval_ms: u64) -> Self {
        Self { interval_ms, last: None, suppressed: 0 }
    }

    /// Asks for a line at `now`: `None` says not to write it, `Some` to write it and how many were held back before it.
    pub fn take(&mut self, now: Mono) -> Option<u64> {
        if self.last.is_some_and(|last| now.since(last) < self.interval_ms) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoxfQ.c2lnbmF0dXJl_-0";

    #[test]
    fn no_token_is_left_in_a_line() {
        for (before, after) in [
            ("GET /ws/chat/?token=", "&since=3"),
            ("Authorization: Bearer ", ""),
            ("authorization: bearer ", " x"),
            ("Sec-WebSocket-Protocol: fortifun.v1, bearer.", ", other"),
            (r#"{"type":"auth","token":""#, r#""}"#),
            ("é from a panic: ", " é"),
            (r#"{\"token\":\""#, r#"\"}"#),
        ] {
            let line = format!("{before}{JWT}{after}");
            let clean = redact(&line);
            assert_eq!(clean, format!("{before}{REDACTED}{after}"));
        }
        assert_eq!(redact("?token=short and"), "?token=[redacted] and");
        let two = format!("{JWT} {JWT}");
        assert_eq!(redact(&two), "[redacted] [redacted]");
    }

    #[test]
    fn a_line_without_a_token_is_left_alone() {
        for line in
            ["", "bearer token missing", "user 7: déjà vu", "eyJ", "token expired", "/?token="]
        {
            assert!(matches!(redact(line), Cow::Borrowed(same) if same == line), "{line}");
        }
    }

    #[test]
    fn the_writer_takes_tokens_out() {
        let mut writer = Redacting(Vec::new());
        writer.write_all(format!("refused ?token={JWT}\n").as_bytes()).unwrap();
        assert_eq!(writer.0, b"refused ?token=[redacted]\n");
    }

    #[test]
    fn a_gate_opens_once_an_interval_and_tells_what_it_held_back() {
        let mut gate = LogGate::new(1_000);
        let taken: Vec<_> =
            [5, 6, 7, 1_004, 1_005, 1_006, 9_000].map(|ms| gate.take(Mono(ms))).into();
        assert_eq!(taken, [Some(0), None, None, None, Some(3), None, Some(1)]);
    }
}
