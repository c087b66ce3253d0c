//! Where and when a run took place.

use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The machine of the harness, and the time. What this system does not tell is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// When the run was over, by RFC 3339 and in UTC.
    pub(crate) taken: Option<String>,
    /// Cores that this process may use.
    pub(crate) cores: Option<usize>,
    /// The processor's name.
    pub(crate) processor: Option<String>,
    /// The kernel's release.
    pub(crate) kernel: Option<String>,
    /// TCP congestion control of new sockets.
    pub(crate) congestion_control: Option<String>,
    /// The version of the harness.
    pub(crate) harness: Option<String>,
}

impl Setting {
    /// This machine, `since_epoch` after 1970.
    pub(crate) fn read(since_epoch: Duration) -> Self {
        Self {
            taken: taken(since_epoch),
            cores: std::thread::available_parallelism().ok().map(Into::into),
            processor: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor(&text)),
            kernel: line("/proc/sys/kernel/osrelease"),
            congestion_control: line("/proc/sys/net/ipv4/tcp_congestion_control"),
            harness: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }
    }

    /// What is known, each with its name, in the order of reading.
    pub(crate) fn facts(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        [
            ("cores", self.cores.map(|cores| cores.to_string())),
            ("processor", self.processor.clone()),
            ("kernel", self.kernel.clone()),
            ("congestion control", self.congestion_control.clone()),
            ("harness", self.harness.clone()),
        ]
        .into_iter()
        .filter_map(|(name, fact)| Some((name, fact?)))
    }
}

fn taken(since_epoch: Duration) -> Option<String> {
    let seconds = i64::try_from(since_epoch.as_secs()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}

fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_utc() {
        let setting = Setting::read(Duration::from_millis(1_700_000_000_123));
        assert_eq!(setting.taken.as_deref(), Some("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn a_processor_is_known_by_its_model() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\ncores : 2\n";
        assert_eq!(processor(text).as_deref(), Some("Some CPU @ 2.0GHz"));
        assert_eq!(processor("processor : 0\n"), None);
    }
}
