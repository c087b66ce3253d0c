//! Figures of this process, from `/proc` (Linux, proc(5)). Where a file cannot be read, its figure is left out.

use std::fs;

/// Figures of the process; the order is that of [`super::names::PROCESS`].
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Process {
    /// User and system time, s.
    pub(super) cpu_seconds: Option<f64>,
    /// Resident memory, bytes.
    pub(super) resident_bytes: Option<f64>,
    /// Open descriptors.
    pub(super) open_fds: Option<f64>,
    /// Descriptors that may be open.
    pub(super) max_fds: Option<f64>,
    /// Seconds since 1970.
    pub(super) start_seconds: Option<f64>,
}

/// The clock ticks of `/proc/self/stat` in a second: the kernel's `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    /// Reads the figures of now; a few microseconds, and no longer with many connections on Linux 6.2 and later.
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let from_boot = stat_field(&stat, 22).map(|ticks| ticks / TICKS_PER_SECOND);
        Self {
            cpu_seconds: stat_field(&stat, 14)
                .zip(stat_field(&stat, 15))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            resident_bytes: fs::read_to_string("/proc/self/status")
                .ok()
                .and_then(|status| line_value(&status, "VmRSS:"))
                .map(|kib| kib * 1_024.0),
            open_fds: open_fds(),
            max_fds: fs::read_to_string("/proc/self/limits")
                .ok()
                .and_then(|limits| line_value(&limits, "Max open files")),
            start_seconds: line_value(&boot, "btime")
                .zip(from_boot)
                .map(|(boot, after)| boot + after),
        }
    }

    /// The figures in the order of [`super::names::PROCESS`].
    pub(super) fn figures(&self) -> [Option<f64>; 5] {
        [self.cpu_seconds, self.resident_bytes, self.open_fds, self.max_fds, self.start_seconds]
    }
}

/// Since Linux 6.2 the size of the directory is the number of descriptors; before, it is 0 and they are counted.
fn open_fds() -> Option<f64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64),
        count => Some(count as f64),
    }
}

/// Field `number` of `/proc/self/stat`, counted from 1 as in proc(5). The second, the program's name in parentheses, may
/// itself hold spaces and parentheses: counting starts after the last one.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The first number of the line that begins with `name`; `unlimited` has none.
fn line_value(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_spaces() {
        let stat = "7 (a) b) (c) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 4242 1 2";
        assert_eq!(stat_field(stat, 14), Some(250.0));
        assert_eq!(stat_field(stat, 22), Some(4_242.0));
        assert_eq!(stat_field(stat, 99), None);
        assert_eq!(stat_field("", 14), None);
    }

    #[test]
    fn a_line_gives_its_first_number() {
        let limits = "Limit   Soft\nMax open files            1024       524288    files\n";
        assert_eq!(line_value(limits, "Max open files"), Some(1_024.0));
        assert_eq!(line_value("Max open files  unlimited", "Max open files"), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let figures = Process::read().figures();
        assert!(
            figures.iter().all(|figure| figure.is_some_and(|value| value >= 0.0)),
            "{figures:?}"
        );
    }
}
