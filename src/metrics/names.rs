//! Every metric once: its name, help, unit and label values. Nothing here counts.
//!
//! A label takes its values from an enum, so that no peer can make up a new series.

use super::histogram::{COUNT_BOUNDS, MICROS_BOUNDS, SESSION_BOUNDS};

/// What is declared of one metric.
#[derive(Debug)]
pub struct Family {
    /// Its name, without the `_total` that a counter gets when shown.
    pub name: &'static str,
    /// What it counts, without a full stop.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: FamilyKind,
    /// What one of it is.
    pub unit: Unit,
    /// Its labels and all their values.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FamilyKind {
    /// Never down.
    Counter,
    /// Up and down.
    Gauge,
    /// Observations by size.
    Histogram,
}

/// In what a metric is counted inside, and so what is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// As it is.
    One,
    /// Microseconds, shown as seconds.
    Micros,
}

impl Unit {
    /// `value` as it is shown.
    pub fn shown(self, value: u64) -> f64 {
        match self {
            Self::One => value as f64,
            // A division is rounded once, so that 2,500 is shown as 0.0025.
            Self::Micros => value as f64 / 1_000_000.0,
        }
    }
}

impl Family {
    /// The name in the answer to a scrape: a counter's ends in `_total`.
    pub fn exposed_name(&self) -> String {
        match self.kind {
            FamilyKind::Counter => format!("{}_total", self.name),
            FamilyKind::Gauge | FamilyKind::Histogram => self.name.to_owned(),
        }
    }

    /// How many series it has: the product of its labels' values.
    pub fn series(&self) -> usize {
        self.labels.iter().map(|(_, values)| values.len()).product()
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])+ $name:ident { $($variant:ident $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`.")] $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// Every value as it is shown.
            pub const NAMES: &[&str] = &[$($text),+];

            /// The value as it is shown.
            pub const fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// The value shown as `name`.
            pub fn named(name: &str) -> Option<Self> {
                Self::NAMES.iter().position(|own| *own == name).map(|place| Self::ALL[place])
            }
        }
    )+};
}

labels! {
    /// What a connection is used for.
    Endpoint {
        Chat "chat", Conversation "conversation", Notifications "notifications", Http "http", Echo "echo",
    }
    /// What became of a request to open a socket: the codes of its refusal, or `accepted`.
    Handshake {
        Accepted "accepted", BadHandshake "bad_handshake", HostNotAllowed "host_not_allowed",
        OriginNotAllowed "origin_not_allowed", TokenMissing "token_missing", TokenInvalid "token_invalid",
        TokenExpired "token_expired", NotAParticipant "not_a_participant",
        ConversationNotFound "conversation_not_found", UpgradeRequired "upgrade_required",
        RateLimited "rate_limited", Unavailable "unavailable", TimedOut "timed_out",
    }
    /// Which way.
    Direction { In "in", Out "out" }
    /// Why something was refused: the codes of `error` events, and the limits on connections.
    Refusal {
        InvalidJson "invalid_json", InvalidCommand "invalid_command", UnknownType "unknown_type",
        InvalidField "invalid_field", NotFound "not_found", Forbidden "forbidden",
        RateLimited "rate_limited", Busy "busy", StoreUnavailable "store_unavailable",
        TooLarge "too_large", ConnectionsMax "connections_max", ConnectionsPerIp "connections_per_ip",
        ConnectsPerSecondPerIp "connects_per_second_per_ip", ConnectionsPerUser "connections_per_user",
    }
    /// What a token proved.
    Auth {
        Accepted "accepted", Missing "token_missing", Invalid "token_invalid", Expired "token_expired",
        UnknownUser "unknown_user",
    }
    /// Close codes (RFC 6455 §7.4 and this application's own); `1006` is a connection lost without one.
    CloseCode {
        Normal "1000", GoingAway "1001", ProtocolError "1002", Unsupported "1003", NoStatus "1005",
        Lost "1006", InvalidPayload "1007", Policy "1008", TooBig "1009", Internal "1011",
        Restart "1012", Overloaded "1013", BadCommands "4400", Unauthenticated "4401",
        Forbidden "4403", NotFound "4404", Unresponsive "4408", Replaced "4409",
        RateLimited "4429", SlowConsumer "4480", Other "other",
    }
    /// A queue.
    Queue { Write "write", Read "read", Inbox "inbox", Stalled "stalled", Bus "bus", BusChecks "bus_checks" }
    /// Who sent a message on the bus.
    BusSource { Node "node", Django "django" }
    /// Why a message on the bus went to nobody.
    BusDrop {
        Own "own", NoType "no_type", PrivateType "private_type", NoField "no_field", TooLong "too_long",
        Misplaced "misplaced", UnknownName "unknown_name", Token "token", Malformed "malformed",
        Unsendable "unsendable", NoRoom "no_room", Refused "refused",
    }
    /// What became of a message that was not the next one of its conversation.
    BusTurn { Held "held", Late "late", Double "double", Hole "hole" }
    /// Kinds of `StoreError`.
    StoreKind {
        Unavailable "unavailable", Denied "denied", Unknown "unknown", Contended "contended",
        TimedOut "timed_out", NotWritable "not_writable", Schema "schema", Poisoned "poisoned", Internal "internal",
    }
    /// What was found of a message whose commit ended without an answer.
    Settlement { Stored "stored", NotStored "not_stored", GivenUp "given_up" }
    /// Where an HTTP request went.
    Route {
        Conversations "conversations", Conversation "conversation", Messages "messages",
        MarkRead "mark_read", Leave "leave", RecentMatches "recent_matches", Matches "matches",
        Like "like", Unlike "unlike", Block "block", Unblock "unblock", Healthz "healthz",
        Readyz "readyz", Metrics "metrics", Page "page", Socket "socket", Other "other",
    }
    /// First digit of an HTTP status.
    StatusClass {
        Informational "1xx", Success "2xx", Redirect "3xx", ClientError "4xx", ServerError "5xx",
    }
}

impl CloseCode {
    /// The label of `code`; [`CloseCode::Other`] for one that is not told apart.
    pub const fn of(code: u16) -> Self {
        match code {
            1000 => Self::Normal,
            1001 => Self::GoingAway,
            1002 => Self::ProtocolError,
            1003 => Self::Unsupported,
            1005 => Self::NoStatus,
            1006 => Self::Lost,
            1007 => Self::InvalidPayload,
            1008 => Self::Policy,
            1009 => Self::TooBig,
            1011 => Self::Internal,
            1012 => Self::Restart,
            1013 => Self::Overloaded,
            4400 => Self::BadCommands,
            4401 => Self::Unauthenticated,
            4403 => Self::Forbidden,
            4404 => Self::NotFound,
            4408 => Self::Unresponsive,
            4409 => Self::Replaced,
            4429 => Self::RateLimited,
            4480 => Self::SlowConsumer,
            _ => Self::Other,
        }
    }
}

impl StatusClass {
    /// The class of `status`.
    pub const fn of(status: u16) -> Self {
        match status / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirect,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

macro_rules! families {
    ($(#[$doc:meta])+ $enum:ident $kind:ident {
        $($variant:ident $(($($bind:ident: $label:ident),+))? $name:literal $unit:ident $help:literal;)+
    }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $enum {
            $(#[doc = concat!($help, ".")] $variant $(($($label),+))?,)+
        }

        impl $enum {
            /// Every metric of this kind.
            pub const FAMILIES: &[Family] = &[$(Family {
                name: $name,
                help: $help,
                kind: FamilyKind::$kind,
                unit: Unit::$unit,
                labels: &[$($((stringify!($bind), $label::NAMES)),+)?],
            }),+];
            const SIZES: &[usize] = &[$(1 $($(* $label::NAMES.len())+)?),+];
            /// Series of this kind in all.
            pub const SERIES: usize = sum(Self::SIZES, Self::SIZES.len());

            /// The place of this series: families in order, and in each its label values in order, the last label
            /// moving fastest.
            pub(super) const fn slot(self) -> usize {
                enum Place { $($variant),+ }
                match self {
                    $(Self::$variant $(($($bind),+))? => {
                        let first = const { sum(Self::SIZES, Place::$variant as usize) };
                        let place = 0;
                        $($(let place = place * $label::NAMES.len() + $bind as usize;)+)?
                        first + place
                    })+
                }
            }
        }
    };
}

/// The sum of the first `n` of `sizes`.
const fn sum(sizes: &[usize], n: usize) -> usize {
    let (mut total, mut index) = (0, 0);
    while index < n {
        total += sizes[index];
        index += 1;
    }
    total
}

families! {
    /// What only grows.
    Counter Counter {
        Handshakes(outcome: Handshake) "fortifun_handshakes" One "Requests to open a socket, by outcome";
        Frames(direction: Direction) "fortifun_frames" One "WebSocket frames";
        Bytes(direction: Direction) "fortifun_bytes" One "Bytes on client sockets";
        MessagesCommitted "fortifun_messages_committed" One "Chat messages stored, repeats not counted";
        SlowConsumers "fortifun_slow_consumers" One "Sessions closed because their outbound passed its bound";
        ShedEvents "fortifun_shed_events" One "Typing and presence left out for slow sessions";
        Refused(reason: Refusal) "fortifun_refused" One "Commands, requests and connections refused, by reason";
        Auth(outcome: Auth) "fortifun_auth" One "Tokens looked at, by outcome";
        Disconnects(code: CloseCode) "fortifun_disconnects" One "Sessions ended, by close code";
        StoreErrors(kind: StoreKind) "fortifun_store_errors" One "Errors of the database, by kind";
        Settled(outcome: Settlement) "fortifun_settled" One "Messages whose commit ended without an answer, by what was found later";
        AcceptErrors "fortifun_accept_errors" One "Connections that the system did not hand over";
        InboxDropped "fortifun_inbox_dropped" One "Notes dropped because a shard's inbox was full";
        LogLinesDropped "fortifun_log_lines_dropped" One "Log lines dropped because their queue was full";
        HttpRequests(route: Route, status: StatusClass) "fortifun_http_requests" One "HTTP requests answered";
        BusPublished "fortifun_bus_published" One "Messages sent on the bus";
        BusReceived(source: BusSource) "fortifun_bus_received" One "Messages from the bus for sessions here, by who sent them";
        BusDropped(reason: BusDrop) "fortifun_bus_dropped" One "Messages of the bus that went to nobody, by reason";
        BusTurns(turn: BusTurn) "fortifun_bus_turns" One "Messages that were not the next of their conversation, by what became of them";
        BusGaps "fortifun_bus_gaps" One "Times that something of the bus may have been missed";
        BusChecked "fortifun_bus_checked" One "Conversations and users compared with the store";
        BusRepaired "fortifun_bus_repaired" One "Messages and conversations brought up from the store";
        ShardTurns "fortifun_shard_turns" One "Passes of the event loops";
        ShardBusy "fortifun_shard_busy_seconds" Micros "Time that event loops worked rather than waited";
    }
}

families! {
    /// What goes up and down. Threads count each their own; the sum is shown.
    Gauge Gauge {
        ConnectionsOpen(endpoint: Endpoint) "fortifun_connections_open" One "Open connections, by what they are used for";
        OutboundBytes "fortifun_outbound_bytes" One "Bytes that wait for clients";
        TimersArmed "fortifun_timers_armed" One "Deadlines of connections that are set, at most a second ago";
        BusUp(direction: Direction) "fortifun_bus_up" One "Hosts of the bus that answer, by direction";
        BusSubscriptions "fortifun_bus_subscriptions" One "Groups and channels listened to on the bus";
        QueueDepth(queue: Queue) "fortifun_queue_depth" One "Entries that wait, by queue";
    }
}

macro_rules! histograms {
    ($($variant:ident $name:literal $unit:ident $bounds:ident $help:literal;)+) => {
        /// Observations by size. The doc of each says in what [`super::Block::observe`] takes them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Histogram {
            $(#[doc = concat!($help, "; observed in the unit `", stringify!($unit), "`.")] $variant,)+
        }

        impl Histogram {
            /// Every histogram.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// What is declared of each.
            pub const FAMILIES: &[Family] = &[$(Family {
                name: $name, help: $help, kind: FamilyKind::Histogram, unit: Unit::$unit, labels: &[],
            }),+];
            /// Upper bounds of the buckets of each, included, ascending; one more bucket takes the rest.
            pub(super) const BOUNDS: &[&[u64]] = &[$($bounds),+];
        }
    };
}

histograms! {
    Commit "fortifun_commit_seconds" Micros MICROS_BOUNDS "Duration of one commit";
    BatchRequests "fortifun_batch_requests" One COUNT_BOUNDS "Requests in one commit";
    FanoutSessions "fortifun_fanout_sessions" One SESSION_BOUNDS "Sessions of one shard that got one delivery";
    Delivery "fortifun_delivery_seconds" Micros MICROS_BOUNDS "From a commit to the outbound of a session";
}

/// The process, in the order of the fields of `process::Process`; the names are those that Prometheus' own clients use.
pub(super) const PROCESS: &[Family] = &[
    Family { kind: FamilyKind::Counter, ..process("process_cpu_seconds", "User and system time") },
    process("process_resident_memory_bytes", "Resident memory"),
    process("process_open_fds", "Open descriptors"),
    process("process_max_fds", "Descriptors that may be open"),
    process("process_start_time_seconds", "When the process began, in seconds since 1970"),
];

/// Always 1; which program this is.
pub(super) const BUILD_INFO: Family = Family {
    labels: &[("version", &[env!("CARGO_PKG_VERSION")])],
    ..process("fortifun_build_info", "This program")
};

const fn process(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: FamilyKind::Gauge, unit: Unit::One, labels: &[] }
}

/// Every metric that a scrape shows.
pub fn families() -> impl Iterator<Item = &'static Family> {
    [Counter::FAMILIES, Gauge::FAMILIES, Histogram::FAMILIES, PROCESS, &[BUILD_INFO]]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorCode;
    use crate::store::StoreErrorKind;

    #[test]
    fn series_fill_their_slots_without_overlap() {
        let mut slots = vec![Counter::MessagesCommitted.slot(), Counter::SlowConsumers.slot()];
        slots.extend(Handshake::ALL.iter().map(|v| Counter::Handshakes(*v).slot()));
        slots.extend(Direction::ALL.iter().map(|v| Counter::Frames(*v).slot()));
        slots.extend(Direction::ALL.iter().map(|v| Counter::Bytes(*v).slot()));
        slots.extend(Refusal::ALL.iter().map(|v| Counter::Refused(*v).slot()));
        slots.extend(Auth::ALL.iter().map(|v| Counter::Auth(*v).slot()));
        slots.extend(CloseCode::ALL.iter().map(|v| Counter::Disconnects(*v).slot()));
        slots.extend(StoreKind::ALL.iter().map(|v| Counter::StoreErrors(*v).slot()));
        slots.extend(Settlement::ALL.iter().map(|v| Counter::Settled(*v).slot()));
        slots.extend(BusSource::ALL.iter().map(|v| Counter::BusReceived(*v).slot()));
        slots.extend(BusDrop::ALL.iter().map(|v| Counter::BusDropped(*v).slot()));
        slots.extend(BusTurn::ALL.iter().map(|v| Counter::BusTurns(*v).slot()));
        for route in Route::ALL {
            let of = |status: &StatusClass| Counter::HttpRequests(*route, *status).slot();
            slots.extend(StatusClass::ALL.iter().map(of));
        }
        slots.extend([
            Counter::ShedEvents.slot(),
            Counter::AcceptErrors.slot(),
            Counter::InboxDropped.slot(),
            Counter::LogLinesDropped.slot(),
            Counter::BusPublished.slot(),
            Counter::BusGaps.slot(),
            Counter::BusChecked.slot(),
            Counter::BusRepaired.slot(),
            Counter::ShardTurns.slot(),
            Counter::ShardBusy.slot(),
        ]);
        slots.sort_unstable();
        assert_eq!(slots, (0..Counter::SERIES).collect::<Vec<_>>());
        assert_eq!(Counter::FAMILIES.iter().map(Family::series).sum::<usize>(), Counter::SERIES);
    }

    #[test]
    fn every_code_of_an_error_and_of_the_store_has_its_label() {
        for code in [
            ErrorCode::InvalidJson,
            ErrorCode::InvalidCommand,
            ErrorCode::UnknownType,
            ErrorCode::InvalidField,
            ErrorCode::NotFound,
            ErrorCode::Forbidden,
            ErrorCode::RateLimited,
            ErrorCode::Busy,
            ErrorCode::StoreUnavailable,
            ErrorCode::TooLarge,
        ] {
            assert!(Refusal::named(code.name()).is_some(), "{code:?}");
        }
        for kind in [
            StoreErrorKind::Unavailable,
            StoreErrorKind::Denied,
            StoreErrorKind::Unknown,
            StoreErrorKind::Contended,
            StoreErrorKind::TimedOut,
            StoreErrorKind::NotWritable,
            StoreErrorKind::Schema,
            StoreErrorKind::Poisoned,
            StoreErrorKind::Internal,
        ] {
            assert!(StoreKind::named(kind.name()).is_some(), "{kind:?}");
        }
    }

    #[test]
    fn a_close_code_is_labelled_with_itself_or_other() {
        for code in 999..5_000 {
            let label = CloseCode::of(code);
            assert!(label == CloseCode::Other || label.name() == code.to_string());
        }
        for name in CloseCode::NAMES {
            assert!(*name == "other" || CloseCode::of(name.parse().unwrap()).name() == *name);
        }
    }

    #[test]
    fn names_are_unique_and_say_their_unit() {
        let mut names: Vec<&str> = families().map(|family| family.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        for family in families() {
            assert!(family.name.starts_with("fortifun_") || family.name.starts_with("process_"));
            assert_eq!(
                family.unit == Unit::Micros,
                family.name.ends_with("_seconds") && !family.name.starts_with("process_")
            );
            assert!(!family.help.ends_with('.') && !family.name.ends_with("_total"));
        }
    }
}
