//! The commands of the core layer, on the keys and in the order that `channels_redis.core` has them, appended to a pipeline.
//!
//! A script travels whole with the first call of a pipeline and by its digest with the others: so none of them can find it
//! missing after a restart of Redis.

use redis::{Pipeline, Script};

use super::Terms;
use super::deposit::Deposit;
use crate::limits::BUS_SIGN_S;
use crate::time::Timestamp;

/// Puts messages into a queue while it has room, in their order. Answers how many had waited too long and were taken out, and
/// how many found room.
///
/// `KEYS`: the queue. `ARGV`: what is older goes, the capacity, the expiry, the score, the messages.
const DEPOSIT: &str = r"
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[1])
local room = tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[1])
local taken = math.max(0, math.min(room, #ARGV - 4))
for i = 5, 4 + taken do
    redis.call('ZADD', KEYS[1], ARGV[4], ARGV[i])
end
if taken > 0 then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return {gone, taken}
";

/// Takes a node's member out of a group unless the node lives. Both in one step: a node that comes back says so before it
/// joins again. Answers how many members went.
///
/// `KEYS`: the group, the node's sign of life. `ARGV`: the member.
const SWEEP: &str = r"
if redis.call('EXISTS', KEYS[2]) == 1 then
    return 0
end
return redis.call('ZREM', KEYS[1], ARGV[1])
";

/// The scripts and their digests.
#[derive(Debug)]
pub(super) struct Scripts {
    deposit: Script,
    sweep: Script,
}

/// Commands that travel together.
#[derive(Debug)]
pub(super) struct Commands<'a> {
    /// The pipeline. Errors of single commands are among its answers.
    pub(super) pipe: Pipeline,
    scripts: &'a Scripts,
    has_deposit: bool,
    has_sweep: bool,
}

/// What became of a deposit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deposited {
    /// Messages that were taken out, because they had waited longer than their expiry.
    pub(super) expired: usize,
    /// Of the messages that were brought, how many found room: the first ones.
    pub(super) taken: usize,
}

impl Default for Scripts {
    fn default() -> Self {
        Self { deposit: Script::new(DEPOSIT), sweep: Script::new(SWEEP) }
    }
}

impl<'a> Commands<'a> {
    /// None yet.
    pub(super) fn new(scripts: &'a Scripts) -> Self {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        Self { pipe, scripts, has_deposit: false, has_sweep: false }
    }

    /// Reads the members of a group after those that are too old are taken out. Two answers; the second has the names.
    pub(super) fn members(&mut self, key: &str, now: Timestamp, terms: Terms) {
        let oldest = now.unix_seconds() - i64::from(terms.group_expiry_s);
        self.pipe.cmd("ZREMRANGEBYSCORE").arg(key).arg(0).arg(oldest);
        self.pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1);
    }

    /// Puts a member into a group, or says that it is still there. Two answers.
    pub(super) fn join(&mut self, key: &str, member: &str, now: Timestamp, terms: Terms) {
        self.pipe.cmd("ZADD").arg(key).arg(score(now)).arg(member);
        self.pipe.cmd("EXPIRE").arg(key).arg(terms.group_expiry_s);
    }

    /// Takes a member out of a group. One answer.
    pub(super) fn leave(&mut self, key: &str, member: &str) {
        self.pipe.cmd("ZREM").arg(key).arg(member);
    }

    /// Puts messages into a queue. One answer: [`deposited`].
    pub(super) fn deposit(&mut self, deposit: &Deposit, score: &str, now: Timestamp, terms: Terms) {
        let is_first = !std::mem::replace(&mut self.has_deposit, true);
        call(&mut self.pipe, &self.scripts.deposit, DEPOSIT, is_first);
        self.pipe.arg(1).arg(&*deposit.key);
        self.pipe.arg(now.unix_seconds() - i64::from(terms.expiry_s));
        self.pipe.arg(terms.capacity).arg(terms.expiry_s).arg(score);
        for message in &deposit.messages {
            self.pipe.arg(&message.bytes[..]);
        }
    }

    /// Says for a while that a node lives, and asks whether it had said so before. Two answers, the first with what was there.
    pub(super) fn sign(&mut self, sign_key: &str) {
        self.pipe.cmd("GET").arg(sign_key);
        self.pipe.cmd("SET").arg(sign_key).arg(1).arg("EX").arg(BUS_SIGN_S);
    }

    /// Takes a key away, whatever it has. One answer.
    pub(super) fn delete(&mut self, key: &str) {
        self.pipe.cmd("DEL").arg(key);
    }

    /// Asks whether a node lives. One answer.
    pub(super) fn lives(&mut self, sign_key: &str) {
        self.pipe.cmd("EXISTS").arg(sign_key);
    }

    /// Takes the member of a dead node out of a group. One answer: how many members went.
    pub(super) fn sweep(&mut self, key: &str, sign_key: &str, member: &str) {
        let is_first = !std::mem::replace(&mut self.has_sweep, true);
        call(&mut self.pipe, &self.scripts.sweep, SWEEP, is_first);
        self.pipe.arg(2).arg(key).arg(sign_key).arg(member);
    }
}

fn call(pipe: &mut Pipeline, script: &Script, text: &str, is_first: bool) {
    if is_first {
        pipe.cmd("EVAL").arg(text);
    } else {
        pipe.cmd("EVALSHA").arg(script.get_hash());
    }
}

/// Seconds since 1970 with six digits of fraction, as the library's `time.time()` has them.
pub(super) fn score(at: Timestamp) -> String {
    format!("{}.{:06}", at.unix_seconds(), at.0.rem_euclid(1_000_000))
}

/// The answer to [`Commands::deposit`]; `None` where it is another.
pub(super) fn deposited(answer: redis::Value) -> Option<Deposited> {
    let (expired, taken) = redis::from_redis_value(answer).ok()?;
    Some(Deposited { expired, taken })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::redis::core::deposit::Sealed;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_042);
    const TERMS: Terms = Terms { capacity: 1_500, expiry_s: 60, group_expiry_s: 86_400 };

    /// The commands as they travel, one a line.
    fn lines(commands: &Commands<'_>) -> Vec<String> {
        let line = |cmd: &redis::Cmd| {
            let parts = cmd.args_iter().map(|arg| match arg {
                redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                _ => String::from("?"),
            });
            parts.collect::<Vec<_>>().join(" ")
        };
        commands.pipe.cmd_iter().map(line).collect()
    }

    #[test]
    fn a_group_is_read_and_joined_as_the_library_does() {
        let scripts = Scripts::default();
        let mut commands = Commands::new(&scripts);
        commands.members("asgi:group:chat_1", NOW, TERMS);
        commands.join("asgi:group:chat_1", "specific.a!chat_1", NOW, TERMS);
        commands.leave("asgi:group:chat_1", "specific.a!chat_1");
        assert_eq!(
            lines(&commands),
            [
                "ZREMRANGEBYSCORE asgi:group:chat_1 0 1699913600",
                "ZRANGE asgi:group:chat_1 0 -1",
                "ZADD asgi:group:chat_1 1700000000.000042 specific.a!chat_1",
                "EXPIRE asgi:group:chat_1 86400",
                "ZREM asgi:group:chat_1 specific.a!chat_1",
            ]
        );
    }

    #[test]
    fn a_script_travels_once_in_a_pipeline() {
        let scripts = Scripts::default();
        let mut commands = Commands::new(&scripts);
        let sealed = |bytes: &[u8]| Sealed { bytes: bytes.to_vec(), missed_at: None };
        let messages = vec![sealed(b"one"), sealed(b"two")];
        let deposit = Deposit { key: "asgispecific.a!".to_owned(), node: None, messages };
        commands.deposit(&deposit, &score(NOW), NOW, TERMS);
        commands.deposit(&deposit, &score(NOW), NOW, TERMS);
        let tail = "1 asgispecific.a! 1699999940 1500 60 1700000000.000042 one two";
        let digest = scripts.deposit.get_hash();
        assert_eq!(
            lines(&commands),
            [format!("EVAL {DEPOSIT} {tail}"), format!("EVALSHA {digest} {tail}")]
        );
    }
}
