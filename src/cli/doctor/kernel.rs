//! What the kernel allows, beside what the settings promise (`tuning.md` explains each). Reads by a function, so that tests
//! can say what a machine is like.

use super::finding::Finding;
use crate::config::DESCRIPTORS_RESERVED;

/// Connections that may wait to be accepted, and to finish their TCP handshake.
const BACKLOG: u64 = 4_096;
/// Ports from which one address can be reached.
const LOCAL_PORTS: u64 = 28_000;

/// One setting of the kernel and what it must be at least.
struct Need {
    name: &'static str,
    /// Which of the numbers in its file counts, from 0.
    column: usize,
    least: u64,
    why: &'static str,
    /// False for a file that only exists where its module is loaded.
    is_always_there: bool,
}

/// Looks at the kernel's settings for `connections_max` connections.
pub(super) fn examine(read: &dyn Fn(&str) -> Option<String>, connections_max: u64) -> Vec<Finding> {
    let descriptors = connections_max.saturating_add(DESCRIPTORS_RESERVED);
    let need = |name, column, least, why| Need { name, column, least, why, is_always_there: true };
    let needs = [
        need("net.core.somaxconn", 0, BACKLOG, "connections waiting to be accepted"),
        need("net.ipv4.tcp_max_syn_backlog", 0, BACKLOG, "handshakes under way"),
        need("net.ipv4.tcp_mem", 2, connections_max / 4, "pages: one at every fourth connection"),
        need("fs.file-max", 0, descriptors, "descriptors of the whole machine"),
        need("fs.nr_open", 0, descriptors, "descriptors of one process"),
        Need {
            is_always_there: false,
            ..need(
                "net.netfilter.nf_conntrack_max",
                0,
                descriptors,
                "connections the firewall can track",
            )
        },
    ];
    let mut findings: Vec<_> = needs.iter().filter_map(|need| check(read, need)).collect();
    findings.extend(ports(read));
    findings
}

fn check(read: &dyn Fn(&str) -> Option<String>, need: &Need) -> Option<Finding> {
    let name = need.name;
    let Some(numbers) = numbers(read, name) else {
        let unknown = Finding::warn(format!("{name}: cannot be read"), format!("sysctl {name}"));
        return need.is_always_there.then_some(unknown);
    };
    let value = *numbers.get(need.column)?;
    if value >= need.least {
        return Some(Finding::ok(format!("{name}: {value}")));
    }
    let mut mended = numbers;
    mended[need.column] = need.least;
    let what = format!("{name}: {value}, and {} are needed ({})", need.least, need.why);
    Some(Finding::warn(what, sysctl(name, &mended)))
}

/// A load generator or a proxy on this machine needs a port for each of its connections.
fn ports(read: &dyn Fn(&str) -> Option<String>) -> Option<Finding> {
    const NAME: &str = "net.ipv4.ip_local_port_range";
    let numbers = numbers(read, NAME)?;
    let (first, last) = (*numbers.first()?, *numbers.get(1)?);
    let count = (last + 1).saturating_sub(first);
    Some(if count >= LOCAL_PORTS {
        Finding::ok(format!("{NAME}: {count} ports"))
    } else {
        let what =
            format!("{NAME}: {count} ports, too few for a proxy or a load test on this machine");
        Finding::warn(what, sysctl(NAME, &[1_024, 65_535]))
    })
}

/// The numbers in the file of the setting `name`.
fn numbers(read: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<Vec<u64>> {
    let text = read(&format!("/proc/sys/{}", name.replace('.', "/")))?;
    text.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

fn sysctl(name: &str, numbers: &[u64]) -> String {
    let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
    format!("sysctl -w {name}='{}'", numbers.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn machine(path: &str) -> Option<String> {
        let text = match path.strip_prefix("/proc/sys/")? {
            "net/core/somaxconn" => "128\n",
            "net/ipv4/tcp_max_syn_backlog" => "4096\n",
            "net/ipv4/tcp_mem" => "1000\t2000\t3000\n",
            "net/ipv4/ip_local_port_range" => "32768\t33000\n",
            "fs/file-max" => "9223372036854775807\n",
            "fs/nr_open" => "20000\n",
            _ => return None,
        };
        Some(text.to_owned())
    }

    #[test]
    fn what_is_too_small_is_told_with_the_command_that_mends_it() {
        let findings = examine(&machine, 20_000);
        let mends: Vec<_> = findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Warn)
            .map(|finding| finding.mend.as_str())
            .collect();
        assert_eq!(
            mends,
            [
                "sysctl -w net.core.somaxconn='4096'",
                "sysctl -w net.ipv4.tcp_mem='1000 2000 5000'",
                "sysctl -w fs.nr_open='20256'",
                "sysctl -w net.ipv4.ip_local_port_range='1024 65535'",
            ]
        );
        // Where connections are not tracked, nothing is said of it.
        assert_eq!(findings.len(), 6);
    }

    #[test]
    fn a_machine_that_tells_nothing_is_warned_of_and_not_failed() {
        let findings = examine(&|_| None, 20_000);
        assert_eq!(findings.len(), 5);
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Warn));
    }

    #[test]
    fn tracked_connections_are_bounded_by_the_firewall() {
        let read = |path: &str| path.ends_with("nf_conntrack_max").then(|| "16384".to_owned());
        let findings = examine(&read, 20_000);
        let mend = "sysctl -w net.netfilter.nf_conntrack_max='20256'";
        assert!(findings.iter().any(|finding| finding.mend == mend));
    }
}
