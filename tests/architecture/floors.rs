//! Who may import whom, as data: `tests/architecture.rs` holds the code to it, `tests/documents.rs` prints it into
//! `ARCHITECTURE.md`.

/// One floor of the house.
pub(super) struct Floor {
    /// Its modules, by the name of their top-level file.
    pub(super) modules: &'static [&'static str],
    /// What they have in common.
    pub(super) what: &'static str,
}

/// The floors from the top down. A module imports from lower floors alone: never upward, never beside itself, so no circle
/// can be drawn.
pub(super) const FLOORS: &[Floor] = &[
    Floor { modules: &["main"], what: "the program: hands its arguments to `cli`" },
    Floor { modules: &["cli"], what: "the shell: arguments, environment, files, exit codes" },
    Floor {
        modules: &["server"],
        what: "the wiring: names implementations, starts threads, drains",
    },
    Floor { modules: &["shard"], what: "one event loop: a thread with sockets" },
    Floor { modules: &["worker"], what: "a thread with a database; the queues to it" },
    Floor {
        modules: &["chat", "gate", "rest"],
        what: "the rules: pure, they return what is to be done",
    },
    Floor {
        modules: &["channel", "conn", "logging", "store", "wire"],
        what: "ports, one connection, JSON, log lines",
    },
    Floor { modules: &["auth", "config"], what: "who is asking; settings" },
    Floor { modules: &["model", "protocol"], what: "the domain's words; RFC 6455 and RFC 9112" },
    Floor { modules: &["ids", "limits", "metrics", "time"], what: "the ground: imports nothing" },
];
