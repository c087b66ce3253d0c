//! A message to ourselves, as a node sends it to another, and everything else that a node asks of a server.

use std::collections::BTreeSet;

use redis::{Pipeline, Value};

use super::hosts::Hosts;
use super::{Admin, Fault, Kind, Link, NAME, PATIENCE, ask, ask_all, read};
use crate::channel::bus::{Fields, Recipients, channel_name};

/// How long what is tried out stays where it cannot be taken away, s.
const LEFT_S: u32 = 60;

impl Admin {
    /// What the user may not do, and how long a message took, µs. An error is one of the connection that `link` is.
    pub(super) fn try_out(
        &self,
        link: &mut Link,
        (hosts, host): (&Hosts, usize),
    ) -> Result<(Vec<String>, Result<i64, Fault>), Fault> {
        let denied = match self.kind {
            Kind::PubSub => Vec::new(),
            Kind::Core { .. } => denied(&ask_all(link, &self.commands())?),
        };
        let round_trip =
            Link::open(&hosts.endpoints[host], NAME, &self.clock).and_then(|mut other| match self
                .kind
            {
                Kind::PubSub => self.by_channel(link, &mut other, (hosts, host)),
                Kind::Core { .. } => self.by_queue(link, &mut other),
            });
        Ok((denied, round_trip))
    }

    /// Publishes on a channel of our own, to which `other` listens.
    fn by_channel(
        &self,
        link: &mut Link,
        other: &mut Link,
        (hosts, host): (&Hosts, usize),
    ) -> Result<i64, Fault> {
        let own = hosts.place(self, host).own_channel(&self.name());
        let channel = own.ok_or_else(|| Fault::Refused("it has hardly a slot".to_owned()))?;
        let fields = self.message();
        let to = Recipients::Listeners;
        let bytes = self.envelope.seal(&self.envelope.pack(&fields), to, &self.fresh());
        let _: Value = ask(other, redis::cmd(hosts.words.subscribe).arg(&channel))?;
        let start = self.micros();
        let _: u64 = ask(link, redis::cmd(hosts.words.publish).arg(&channel).arg(bytes))?;
        let deadline = other.deadline(PATIENCE);
        let (_, _, came): (String, String, Vec<u8>) = read(other.answer(deadline)?)?;
        let micros = self.micros() - start;
        self.compare(&came, &fields).map(|()| micros)
    }

    /// Puts it into a queue of our own, which `other` reads.
    fn by_queue(&self, link: &mut Link, other: &mut Link) -> Result<i64, Fault> {
        let channel = channel_name(self.me, &self.name());
        let queue = self.names.queue_key(&channel);
        let fields = self.message();
        let to = Recipients::Channels(&[&channel]);
        let bytes = self.envelope.seal(&self.envelope.pack(&fields), to, &self.fresh());
        let start = self.micros();
        let mut pipe = redis::pipe();
        let now = (self.clock)().wall.unix_seconds();
        pipe.cmd("ZADD").arg(&queue).arg(now).arg(bytes);
        pipe.cmd("EXPIRE").arg(&queue).arg(LEFT_S);
        for answer in ask_all(link, &pipe)? {
            let _: i64 = read(answer)?;
        }
        let mut pop = redis::cmd("BZPOPMIN");
        let (_, came, _): (String, Vec<u8>, String) = ask(other, pop.arg(&queue).arg(1))?;
        let micros = self.micros() - start;
        self.compare(&came, &fields).map(|()| micros)
    }

    fn compare(&self, came: &[u8], sent: &Fields) -> Result<(), Fault> {
        match self.envelope.open(came, (self.clock)().wall) {
            Ok(opened) if opened.fields == *sent => Ok(()),
            Ok(_) => Err(Fault::Protocol("another message came".to_owned())),
            Err(flaw) => Err(Fault::Protocol(format!("what came is no message: {flaw}"))),
        }
    }

    /// Each command of the core layer once, on names that nobody else has; the last one takes them away.
    fn commands(&self) -> Pipeline {
        let channel = channel_name(self.me, &self.name());
        let group = &self.names.members_key(&self.name());
        let queue = &self.names.queue_key(&channel);
        let script = "return redis.call('ZADD', KEYS[1], 0, ARGV[1])";
        let mut pipe = redis::pipe();
        pipe.cmd("ZADD").arg(group).arg(1).arg(&channel);
        pipe.cmd("EXPIRE").arg(group).arg(LEFT_S);
        pipe.cmd("ZREMRANGEBYSCORE").arg(group).arg(0).arg(0);
        pipe.cmd("ZRANGE").arg(group).arg(0).arg(-1);
        pipe.cmd("EVAL").arg(script).arg(1).arg(queue).arg("m");
        pipe.cmd("EVALSHA").arg(redis::Script::new(script).get_hash()).arg(1).arg(queue).arg("m");
        pipe.cmd("EXPIRE").arg(queue).arg(LEFT_S);
        pipe.cmd("BZPOPMIN").arg(queue).arg(1);
        pipe.cmd("ZPOPMIN").arg(queue).arg(512);
        pipe.cmd("ZREM").arg(group).arg(&channel);
        pipe.cmd("SET").arg(queue).arg(1).arg("EX").arg(LEFT_S);
        pipe.cmd("GET").arg(queue);
        pipe.cmd("EXISTS").arg(queue);
        pipe.cmd("DEL").arg(group).arg(queue);
        pipe
    }

    pub(super) fn micros(&self) -> i64 {
        (self.clock)().wall.0
    }

    /// Names nobody else.
    fn name(&self) -> String {
        format!("fortifun.doctor.{}", self.me)
    }

    fn message(&self) -> Fields {
        [("type", "fortifun_round_trip".into()), ("node", self.me.to_string().into())].into()
    }
}

/// What the server says of each command that the user may not send, once each.
fn denied(answers: &[Value]) -> Vec<String> {
    let denied = |answer: &Value| match answer {
        Value::ServerError(error) if error.code() == "NOPERM" => {
            Some(error.details().unwrap_or_default().to_owned())
        }
        _ => None,
    };
    let unique: BTreeSet<String> = answers.iter().filter_map(denied).collect();
    unique.into_iter().collect()
}
