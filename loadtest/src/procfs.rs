//! Figures of the server's process and of the kernel's sockets, from `/proc` (Linux, proc(5)).

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The kernel's `USER_HZ`.
const TICKS_PER_SECOND: u32 = 100;

/// What a process holds and the sockets of this machine hold, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Resident, bytes (`VmRSS`).
    pub(crate) rss: u64,
    /// Resident, what is shared counted in part, bytes (`Pss`).
    pub(crate) pss: u64,
    /// Resident and of no file: heap and stacks, bytes (`Anonymous`).
    pub(crate) anonymous: u64,
    /// The buffers of all TCP sockets of this network, both ends of a local connection, bytes (`TCP: … mem`).
    pub(crate) tcp: u64,
    /// TCP sockets of this network (`TCP: inuse`).
    pub(crate) sockets: u64,
    /// What the kernel keeps of all sockets, open files and polled descriptors of this machine, without the buffers of TCP, bytes
    /// (`/proc/slabinfo`, which root alone may read); 0 where it may not be read.
    pub(crate) objects: u64,
    /// All that the kernel keeps in slabs, bytes (`Slab`).
    pub(crate) slab: u64,
}

/// Slabs that a connection has a part in.
const SLABS: [&str; 8] = [
    "TCP",
    "TCPv6",
    "sock_inode_cache",
    "filp",
    "dentry",
    "eventpoll_epi",
    "eventpoll_pwq",
    "ep_head",
];

impl Memory {
    /// That of two processes of one machine.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            rss: self.rss + other.rss,
            pss: self.pss + other.pss,
            anonymous: self.anonymous + other.anonymous,
            // Both read those of the whole machine.
            tcp: self.tcp.max(other.tcp),
            sockets: self.sockets.max(other.sockets),
            objects: self.objects.max(other.objects),
            slab: self.slab.max(other.slab),
        }
    }

    /// Reads it for process `pid`.
    pub(crate) fn read(pid: u32) -> anyhow::Result<Self> {
        let status = read(&format!("/proc/{pid}/status"))?;
        let smaps = read(&format!("/proc/{pid}/smaps_rollup"))?;
        let sockstat = read("/proc/net/sockstat")?;
        let kib = |text: &str, name| {
            number_after(text, name)
                .map(|kib| kib * 1_024)
                .with_context(|| format!("process {pid} tells no {name}"))
        };
        Ok(Self {
            rss: kib(&status, "VmRSS:")?,
            pss: kib(&smaps, "Pss:")?,
            anonymous: kib(&smaps, "Anonymous:")?,
            tcp: tcp(&sockstat, "mem").unwrap_or(0) * 4_096,
            sockets: tcp(&sockstat, "inuse").unwrap_or(0),
            objects: objects(&read("/proc/slabinfo").unwrap_or_default()),
            slab: number_after(&read("/proc/meminfo")?, "Slab:").unwrap_or(0) * 1_024,
        })
    }
}

/// Resident memory of process `pid`, bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let kib = number_after(&status, "VmRSS:");
    kib.map(|kib| kib * 1_024).with_context(|| format!("process {pid} tells no VmRSS"))
}

/// Processor time of a process, all threads: exact to the nanosecond where the kernel counts so, else to its tick.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("cannot read the threads of process {pid}"))?;
    let nanos: Option<u64> = tasks
        .filter_map(Result::ok)
        .map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_ascii_whitespace().next()?.parse::<u64>().ok()
        })
        .sum();
    if let Some(nanos) = nanos.filter(|nanos| *nanos > 0) {
        return Ok(Duration::from_nanos(nanos));
    }
    let [user, system] = user_and_system(pid)?;
    Ok(user + system)
}

/// Processor time of a process in its own code and in the kernel, to the kernel's tick.
pub(crate) fn user_and_system(pid: u32) -> anyhow::Result<[Duration; 2]> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let ticks = ticks(&stat).with_context(|| format!("process {pid} tells no times"))?;
    Ok(ticks.map(|ticks| Duration::from_secs(ticks) / TICKS_PER_SECOND))
}

/// A process and its children, grandchildren and so on.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let child = entry.file_name().to_str()?.parse().ok()?;
            Some((child, parent(child)?))
        })
        .collect();
    let mut family = vec![pid];
    let mut seen = 0;
    while let Some(&of) = family.get(seen) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(child, _)| child));
        seen += 1;
    }
    family
}

/// True exactly while a thread of process `pid` runs, and so has its sockets: one that has ended, and whose parent has not asked
/// how, has none.
pub(crate) fn is_alive(pid: u32) -> bool {
    let runs = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, behind)| !behind.starts_with(['Z', 'X']))
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    tasks.filter_map(Result::ok).any(runs)
}

/// Descriptors that a process has open.
pub(crate) fn descriptors(pid: u32) -> anyhow::Result<usize> {
    let folder = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?.count())
}

/// Processor time of a process and of each of its children: [`spent`] compares two of them.
pub(crate) fn family_cpu(pid: u32) -> anyhow::Result<HashMap<u32, Duration>> {
    let mut times = HashMap::from([(pid, cpu(pid)?)]);
    for entry in fs::read_dir("/proc").context("cannot read /proc")?.filter_map(Result::ok) {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ends meanwhile is not counted.
        if parent(child) == Some(pid)
            && let Ok(time) = cpu(child)
        {
            times.insert(child, time);
        }
    }
    Ok(times)
}

/// What the processes of `after` spent since `before`. One that is only in `before` has ended, and what it spent is not known.
pub(crate) fn spent(before: &HashMap<u32, Duration>, after: &HashMap<u32, Duration>) -> Duration {
    let since = |(pid, time): (&u32, &Duration)| {
        time.saturating_sub(before.get(pid).copied().unwrap_or_default())
    };
    after.iter().map(since).sum()
}

/// The parent of a process that runs `name`; `None` where there is no such process here.
pub(crate) fn parent_of(pid: u32, name: &str) -> Option<u32> {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (comm.trim_end() == name).then(|| parent(pid))?
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent …, and a name may hold anything.
    let (_, behind) = stat.rsplit_once(") ")?;
    behind.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// How many descriptors this process may have.
pub(crate) fn descriptors_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    number_after(&limits, "Max open files").unwrap_or(u64::MAX)
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// The first number of the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// The number behind `name` in the line of TCP.
fn tcp(sockstat: &str, name: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_ascii_whitespace().skip_while(|word| *word != name).nth(1)?.parse().ok()
}

/// Bytes of the objects of [`SLABS`] that are in use (slabinfo(5)): name, active objects, objects, size of one.
fn objects(slabinfo: &str) -> u64 {
    let bytes = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let is_one = SLABS.contains(&words.next()?);
        let active: u64 = words.next()?.parse().ok()?;
        let size: u64 = words.nth(1)?.parse().ok()?;
        is_one.then_some(active * size)
    };
    slabinfo.lines().filter_map(bytes).sum()
}

/// User and system time of `/proc/PID/stat`, fields 14 and 15, counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<[u64; 2]> {
    let (_, behind) = stat.rsplit_once(") ")?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    Some([fields.next()?.parse().ok()?, fields.next()?.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        let sockstat =
            "sockets: used 32\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 36\nUDP: inuse 0 mem 5\n";
        assert_eq!((tcp(sockstat, "mem"), tcp(sockstat, "inuse")), (Some(36), Some(1)));
        assert_eq!(number_after("VmHWM: 9 kB\nVmRSS:\t  1300 kB\n", "VmRSS:"), Some(1_300));
        let slabs =
            "# name <active_objs>\nTCP 10 20 2368 13 8\nTCPx 9 9 9 9 9\nfilp 3 9 192 21 1\n";
        assert_eq!((objects(slabs), objects("")), (24_256, 0));
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 4242 1 2";
        assert_eq!(ticks(stat), Some([250, 50]));
    }

    #[test]
    fn what_a_family_spent_is_counted_by_process() {
        let ms = Duration::from_millis;
        let before = HashMap::from([(1, ms(10)), (2, ms(5))]);
        let after = HashMap::from([(1, ms(14)), (3, ms(2))]);
        assert_eq!(spent(&before, &after), ms(6));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let family = family_cpu(std::process::id()).unwrap();
        let found = parent_of(child.id(), "sleep");
        assert!(super::family(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains_key(&child.id()) && family.contains_key(&std::process::id()));
        assert_eq!(found, Some(std::process::id()));
        assert_eq!(parent_of(std::process::id(), "no such program"), None);
    }

    #[test]
    fn this_process_has_memory_and_spends_time() {
        let pid = std::process::id();
        let memory = Memory::read(pid).unwrap();
        assert!(memory.rss >= memory.anonymous && memory.pss > 0, "{memory:?}");
        assert!(cpu(pid).unwrap() > Duration::ZERO);
        assert!(descriptors_max() > 0 && descriptors(pid).unwrap() > 0);
        assert!(is_alive(pid) && !is_alive(u32::MAX));
        assert!(Memory::read(u32::MAX).is_err());
    }
}
