//! One host: what is to be asked there, and what is to be put there. That the node is a member of groups there is
//! [`attendance`]'s.

mod attendance;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use redis::{ServerError, Value};

use super::command::{Commands, Deposited, deposited, score};
use super::deposit::{Deposit, Deposits, Item, Readers, readers};
use super::line::Line;
use super::membership::Membership;
use super::neighbours::Neighbours;
use super::{Core, Standing};
use crate::channel::bus::Address;
use crate::channel::redis::Side;
use crate::channel::redis::link::{Endpoint, Fault};
use crate::limits::{BUS_ANSWER_MS, BUS_BATCH_MAX, BUS_OUTBOX_BYTES_MAX, BUS_OUTBOX_MAX};
use crate::metrics::BusDrop;
use crate::model::Group;
use crate::time::{Mono, Now, Timestamp};

const ANSWER: Duration = Duration::from_millis(BUS_ANSWER_MS);

/// See the module.
pub(super) struct Lane {
    core: Arc<Core>,
    host: usize,
    line: Line,
    membership: Membership,
    neighbours: Neighbours,
    /// Names on this host of which the node is a member whoever is here.
    own: Vec<String>,
    /// When this node's sign of life is due, and whether it was given on this connection.
    sign_at: Mono,
    has_signed: bool,
    /// When it was last seen that the sign was still there, and so all else.
    stood_at: Timestamp,
    /// What [`crate::channel::redis::Hub::listens`] was told.
    listens: usize,
    items: VecDeque<Item>,
    items_bytes: usize,
    deposits: Deposits,
}

/// Messages whose groups' members are known.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// By group.
    pub(super) groups: Vec<Vec<Readers>>,
    /// The messages, in their order, and the place of each one's group.
    pub(super) items: Vec<(Item, usize)>,
}

impl Lane {
    pub(super) fn new(core: &Arc<Core>, host: usize, endpoint: Endpoint, now: Mono) -> Self {
        let hub = &core.hub;
        let general = hub.names().heard(Group::General);
        let own = general.chain([hub.names().sent(Address::Nodes)]);
        Self {
            core: Arc::clone(core),
            host,
            line: Line::new(hub, &core.clock, endpoint),
            membership: Membership::new(hub.interest().reader(), core.terms.group_expiry_s, now),
            neighbours: Neighbours::default(),
            own: own.filter(|name| hub.ring().host(name) == host).collect(),
            sign_at: Mono::default(),
            has_signed: false,
            stood_at: Timestamp::default(),
            listens: 0,
            items: VecDeque::new(),
            items_bytes: 0,
            deposits: Deposits::default(),
        }
    }

    /// True exactly when there is a connection.
    pub(super) const fn is_up(&self) -> bool {
        self.line.is_up()
    }

    /// True exactly when messages wait whose groups' members are not known.
    pub(super) fn has_items(&self) -> bool {
        !self.items.is_empty()
    }

    /// Messages that wait, before and after their groups' members are known.
    pub(super) fn waiting(&self) -> usize {
        self.items.len() + self.deposits.len()
    }

    /// Bytes that wait to be put into queues.
    pub(super) const fn deposit_bytes(&self) -> usize {
        self.deposits.bytes()
    }

    /// Takes `item`, whose group is on this host; while it is away only what may not be shed, up to a bound.
    pub(super) fn take(&mut self, item: Item) {
        if !self.is_up()
            && (item.missed_at.is_none() || self.is_full(self.items.len(), self.items_bytes))
        {
            return self.lose(&item, BusDrop::NoRoom);
        }
        self.items_bytes += item.size;
        self.items.push_back(item);
    }

    /// Asks who the members of the groups of the next messages are. Nothing when there are none or the host does not answer.
    pub(super) fn ask(&mut self, now: Now) -> Asked {
        let mut asked = Asked::default();
        if !self.is_up() || self.items.is_empty() {
            return asked;
        }
        let core = Arc::clone(&self.core);
        let mut names: Vec<&str> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut commands = Commands::new(&core.scripts);
        let count = self.items.len().min(BUS_BATCH_MAX);
        let mut item_places = Vec::with_capacity(count);
        for item in self.items.iter().take(count) {
            let place = *places.entry(&item.name).or_insert_with(|| {
                commands.members(&core.hub.names().members_key(&item.name), now.wall, core.terms);
                names.push(&item.name);
                names.len() - 1
            });
            item_places.push(place);
        }
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let Some(answers) = self.exec(&commands) else { return asked };
        if let Some(error) = refusal(&answers) {
            self.core.hub.is_down(Side::Out(self.host), &Fault::of_server(&error).to_string());
        }
        let mut refused = Vec::with_capacity(names.len());
        // Two answers for each: how many were too old, and who is there.
        let members = answers.into_iter().skip(1).step_by(2).map(redis::from_redis_value);
        for (name, members) in names.iter().zip(members) {
            refused.push(members.is_err());
            asked.groups.push(readers(name, members.unwrap_or_default(), core.hub.me()));
            self.neighbours.on_met(name, &asked.groups[asked.groups.len() - 1]);
        }
        for (item, place) in self.items.drain(..count).zip(item_places).collect::<Vec<_>>() {
            self.items_bytes -= item.size;
            if refused.get(place).is_none_or(|refused| *refused) {
                self.lose(&item, BusDrop::Refused);
            } else {
                asked.items.push((item, place));
            }
        }
        asked
    }

    /// Takes `deposit`, whose queue is on this host; while it is away as [`Self::take`].
    pub(super) fn take_deposit(&mut self, deposit: Deposit) {
        let Deposit { key, node, messages } = deposit;
        for message in messages {
            let is_full = self.is_full(self.deposits.len(), self.deposits.bytes());
            if self.is_up() || (message.missed_at.is_some() && !is_full) {
                self.deposits.push(key.clone(), node, message);
                continue;
            }
            self.core.hub.dropped(BusDrop::NoRoom);
            self.core.owe(node, message.missed_at);
        }
    }

    /// Puts what waits into the queues, part by part, until all is there or the host does not answer. All of one part has the
    /// same score, by this node's clock, and is told apart by what stands before each message.
    pub(super) fn put(&mut self) {
        let core = Arc::clone(&self.core);
        while self.is_up() && self.deposits.len() > 0 {
            let now = core.hub.now();
            let score = score(core.score_at(now.wall));
            let part = self.deposits.take_part();
            let mut commands = Commands::new(&core.scripts);
            for deposit in &part {
                commands.deposit(deposit, &score, now.wall, core.terms);
            }
            let Some(link) = self.line.link() else { return };
            match link.query(&commands.pipe.get_packed_pipeline(), part.len(), ANSWER) {
                Ok(answers) => {
                    for (deposit, answer) in part.iter().zip(answers) {
                        self.on_deposited(deposit, answer, now.wall);
                    }
                }
                Err(fault) => {
                    self.deposits.restore(part);
                    self.on_fault(&fault);
                }
            }
        }
    }

    fn on_deposited(&mut self, deposit: &Deposit, answer: Value, now: Timestamp) {
        let hub = &self.core.hub;
        let found = match answer {
            Value::ServerError(error) => {
                hub.is_down(Side::Out(self.host), &Fault::of_server(&error).to_string());
                None
            }
            answer => deposited(answer),
        };
        let reason = if found.is_some() { BusDrop::NoRoom } else { BusDrop::Refused };
        let Deposited { expired, taken } = found.unwrap_or(Deposited { expired: 0, taken: 0 });
        for _ in taken..deposit.messages.len() {
            hub.dropped(reason);
        }
        self.core.owe(deposit.node, deposit.missed_since(taken));
        if expired > 0 {
            // It did not read for so long, or its clock is another.
            let since = now.plus_ms(-2_000 * i64::from(self.core.terms.expiry_s));
            self.core.owe(deposit.node, Some(since));
        }
    }

    /// The answers to `commands`; `None` where the connection is lost.
    fn exec(&mut self, commands: &Commands<'_>) -> Option<Vec<Value>> {
        let packed = commands.pipe.get_packed_pipeline();
        let answered = self.line.link()?.query(&packed, commands.pipe.len(), ANSWER);
        answered.map_err(|fault| self.on_fault(&fault)).ok()
    }

    fn on_fault(&mut self, fault: &Fault) {
        self.line.on_fault();
        self.membership.on_lost(self.stood_at);
        let before = self.items.len();
        self.items.retain(|item| item.missed_at.is_some());
        self.items_bytes = self.items.iter().map(|item| item.size).sum();
        for _ in 0..before - self.items.len() + self.deposits.shed() {
            self.core.hub.dropped(BusDrop::NoRoom);
        }
        self.core.hub.is_down(Side::Out(self.host), &fault.to_string());
        self.core.on_standing(self.host, Standing::Lost(fault));
    }

    fn lose(&self, item: &Item, reason: BusDrop) {
        self.core.hub.dropped(reason);
        if let Some(since) = item.missed_at {
            self.core.hub.outbox().lost(since);
        }
    }

    /// True exactly when no more may wait for a host that is away.
    fn is_full(&self, messages: usize, bytes: usize) -> bool {
        let hosts = self.core.hosts;
        messages >= BUS_BATCH_MAX.max(BUS_OUTBOX_MAX / hosts)
            || bytes >= BUS_OUTBOX_BYTES_MAX / hosts
    }
}

/// The first error among `answers`.
fn refusal(answers: &[Value]) -> Option<ServerError> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(error.clone()),
        _ => None,
    })
}
