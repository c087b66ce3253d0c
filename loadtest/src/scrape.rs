//! Figures of the server's `/metrics`, in Prometheus' text format.

use anyhow::{Context, ensure};

use crate::http::Connection;
use crate::target::Target;

/// Samples of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Scrape(String);

impl Scrape {
    /// Asks the server.
    pub(crate) fn of(target: &Target) -> anyhow::Result<Self> {
        let answer = Connection::new(target).call("GET", "/metrics", 0, "")?;
        ensure!(answer.status == 200, "/metrics answered {}", answer.status);
        Ok(Self(String::from_utf8(answer.body).context("/metrics is not text")?))
    }

    /// The sample whose series is exactly `series`, name and labels.
    ///
    /// # Errors
    ///
    /// There is none, or it is no number.
    pub(crate) fn sample(&self, series: &str) -> anyhow::Result<f64> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.with_context(|| format!("/metrics tells no {series}"))?;
        value.trim().parse().with_context(|| format!("{series} is {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let scrape = Scrape("# TYPE a histogram\na_sum_x 1\na_sum 2.5\na_count 3\n".to_owned());
        let rounded = |series| (scrape.sample(series).unwrap() * 10.0).round() as u64;
        assert_eq!((rounded("a_sum"), rounded("a_count")), (25, 30));
        assert!(scrape.sample("a").is_err());
    }
}
