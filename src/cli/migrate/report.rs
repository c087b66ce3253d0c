//! How far a migration is, for people: a bar on a terminal, and a line a second where there is none.

use std::fmt::Write as _;

use crate::server::Progress;
use crate::time::Timestamp;

/// Between two lines, µs.
const LINE_MICROS: i64 = 1_000_000;
/// Between two drawings of the bar, µs.
const BAR_MICROS: i64 = 100_000;
/// How wide the bar is, characters.
const BAR_WIDTH: u64 = 30;

/// What was told so far.
pub(super) struct Report {
    is_terminal: bool,
    /// When counting was first heard of, and how many were done then.
    began: Option<(Timestamp, u64)>,
    told_at: Timestamp,
    /// True exactly when the last line is a bar, to be drawn over.
    is_bar_open: bool,
}

impl Report {
    /// Nothing was told yet.
    pub(super) fn new(is_terminal: bool) -> Self {
        Self { is_terminal, began: None, told_at: Timestamp(0), is_bar_open: false }
    }

    /// What to write; empty where it is too early to say more.
    pub(super) fn hear(&mut self, told: Progress, now: Timestamp) -> String {
        let line = match told {
            Progress::Numbering { done, total } => {
                return self.counting(done, total, "messages", now);
            }
            Progress::Filling { done, total } => {
                return self.counting(done, total, "participants", now);
            }
            Progress::Waiting => {
                "another process migrates this database; waiting for it".to_owned()
            }
            Progress::Applying(next) => {
                self.began = Some((now, 0));
                format!("applying {} {}: {}", next.id, next.name, next.what)
            }
            Progress::Busy => {
                "  others' transactions are in the way; trying again until they end".to_owned()
            }
            Progress::Indexing(name) => format!("  index {name}"),
        };
        format!("{}{line}\n", self.end())
    }

    /// What to write at the end.
    pub(super) fn end(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_bar_open) { "\n" } else { "" }
    }

    fn counting(&mut self, done: u64, total: u64, what: &str, now: Timestamp) -> String {
        let (began, done_before) = *self.began.get_or_insert((now, done));
        let pause = if self.is_terminal { BAR_MICROS } else { LINE_MICROS };
        if now.0 - self.told_at.0 < pause && done < total {
            return String::new();
        }
        self.told_at = now;
        let figures = figures(done, total, what, done - done_before.min(done), now.0 - began.0);
        if !self.is_terminal {
            return format!("  {figures}\n");
        }
        self.is_bar_open = true;
        let filled = (BAR_WIDTH * done).checked_div(total).unwrap_or(BAR_WIDTH).min(BAR_WIDTH);
        let empty = BAR_WIDTH - filled;
        let bar = ["#".repeat(filled as usize), ".".repeat(empty as usize)].concat();
        // The bar is drawn over itself, and what is left of a longer one is wiped.
        format!("\r  [{bar}] {figures}\x1b[K")
    }
}

/// `done` of `total`, of them `newly` in the last `micros`.
fn figures(done: u64, total: u64, what: &str, newly: u64, micros: i64) -> String {
    let percent = (100 * done).checked_div(total).unwrap_or(100);
    let per_second = newly as f64 * 1e6 / micros.max(1) as f64;
    let left = total.saturating_sub(done);
    let mut text = format!("{percent} %: {done} of {total} {what}");
    if newly > 0 && micros > 0 {
        // Writing to a text cannot fail.
        let _ = write!(text, ", {per_second:.0}/s");
        if left > 0 {
            let _ = write!(text, ", {:.0} s left", (left as f64 / per_second).ceil());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Pending;

    const NUMBERING: Progress =
        Progress::Applying(Pending { id: 5, name: "numbering", what: "numbers" });

    fn at(seconds: f64) -> Timestamp {
        Timestamp(1_704_067_200_000_000 + (seconds * 1e6) as i64)
    }

    fn numbered(done: u64) -> Progress {
        Progress::Numbering { done, total: 20_000 }
    }

    #[test]
    fn a_log_hears_once_a_second_and_of_the_end() {
        let mut report = Report::new(false);
        assert_eq!(report.hear(NUMBERING, at(0.0)), "applying 5 numbering: numbers\n");
        let line = "  25 %: 5000 of 20000 messages, 10000/s, 2 s left\n";
        assert_eq!(report.hear(numbered(5_000), at(0.5)), line);
        assert_eq!(report.hear(numbered(10_000), at(1.0)), "");
        let line = "  75 %: 15000 of 20000 messages, 10000/s, 1 s left\n";
        assert_eq!(report.hear(numbered(15_000), at(1.5)), line);
        let line = "  100 %: 20000 of 20000 messages, 12500/s\n";
        assert_eq!(report.hear(numbered(20_000), at(1.6)), line);
        assert_eq!(report.hear(Progress::Indexing("a"), at(1.7)), "  index a\n");
        assert_eq!(report.end(), "");
    }

    #[test]
    fn a_terminal_sees_a_bar_that_is_drawn_over() {
        let mut report = Report::new(true);
        report.hear(NUMBERING, at(0.0));
        let bar = report.hear(numbered(10_000), at(1.0));
        assert!(
            bar.starts_with(&format!("\r  [{}{}] 50 %", "#".repeat(15), ".".repeat(15))),
            "{bar}"
        );
        assert_eq!(report.hear(numbered(10_001), at(1.05)), "");
        assert_eq!(report.hear(Progress::Busy, at(2.0)).chars().next(), Some('\n'));
        report.hear(numbered(20_000), at(3.0));
        assert_eq!((report.end(), report.end()), ("\n", ""));
    }

    #[test]
    fn nothing_to_number_is_all_of_it() {
        assert_eq!(figures(0, 0, "messages", 0, 0), "100 %: 0 of 0 messages");
    }
}
