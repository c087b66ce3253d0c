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

    /// The sum of the samples of that name, whatever their labels; 0 of none.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.trim().parse::<f64>().ok())?
        };
        self.0.lines().filter_map(value).sum()
    }

    /// Every counter whose series begins with `prefix`, by series: its name ends with `_total` before its labels.
    pub(crate) fn counters(&self, prefix: &str) -> Vec<(String, f64)> {
        let counter = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let name = series.split('{').next().unwrap_or(series);
            let is_one = name.starts_with(prefix) && name.ends_with("_total");
            is_one.then(|| Some((series.to_owned(), value.trim().parse().ok()?)))?
        };
        self.0.lines().filter_map(counter).collect()
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

    #[test]
    fn samples_of_one_name_are_added_up() {
        let scrape = Scrape("# TYPE a gauge\na{x=\"1\"} 2\na{x=\"2\"} 3\nab 9\n".to_owned());
        assert_eq!((scrape.sum("a") as u64, scrape.sum("b") as u64), (5, 0));
    }

    #[test]
    fn counters_are_found_by_the_beginning_of_their_names() {
        let text =
            "# TYPE b_x counter\nb_x_total{why=\"a b\"} 2\nb_now 3\nb_y_total 1\nc_total 9\n";
        let found = Scrape(text.to_owned()).counters("b_");
        assert_eq!(
            found,
            [("b_x_total{why=\"a b\"}".to_owned(), 2.0), ("b_y_total".to_owned(), 1.0)]
        );
    }
}
