//! One host: the connection, the groups on it that this node is a member of, and the signs of life of all nodes.

use std::sync::Arc;

use redis::Value;

use super::{Lane, refusal};
use crate::channel::bus::channel_name;
use crate::channel::redis::Side;
use crate::channel::redis::core::Standing;
use crate::channel::redis::core::command::Commands;
use crate::channel::redis::core::deposit::sign_key;
use crate::channel::redis::core::membership::Step;
use crate::channel::redis::core::neighbours::Round;
use crate::channel::redis::link::Fault;
use crate::limits::{BUS_LEAVE_MAX, BUS_MARGIN_MS};
use crate::time::{Mono, Now};

impl Lane {
    /// When [`Self::tend`] has something to do at the latest.
    pub(in crate::channel::redis::core) fn next_at(&self, now: Mono) -> Mono {
        if !self.is_up() {
            return self.line.next_at(now);
        }
        if self.membership.is_behind(self.core.hub.interest()) { now } else { self.sign_at }
    }

    /// Sees to the connection, this node's sign of life and its membership.
    pub(in crate::channel::redis::core) fn tend(&mut self, now: Now) {
        match self.line.advance(now.mono) {
            Ok(true) => {
                self.has_signed = false;
                self.sign_at = now.mono;
                self.membership.restart(self.core.hub.interest());
            }
            Ok(false) => {}
            Err(fault) => self.on_fault(&fault),
        }
        if self.is_up() && now.mono >= self.sign_at {
            self.sign(now);
        }
        if self.is_up() {
            self.follow(now);
        }
    }

    /// Takes this node out of everything on this host, until `end` at the latest; what is left then, others find dead.
    pub(in crate::channel::redis::core) fn leave_all(
        &mut self,
        queue_key: Option<&str>,
        end: Mono,
    ) {
        let core = Arc::clone(&self.core);
        let (names, me) = (core.hub.names(), core.hub.me());
        let mut left: Vec<String> = std::mem::take(&mut self.own);
        for group in self.membership.take() {
            left.extend(core.names_on(self.host, group));
        }
        let mut commands = Commands::new(&core.scripts);
        commands.delete(&sign_key(names, me));
        if self.exec(&commands).is_none() {
            return;
        }
        for chunk in left.chunks(BUS_LEAVE_MAX) {
            let mut commands = Commands::new(&core.scripts);
            for name in chunk {
                commands.leave(&names.members_key(name), &channel_name(me, name));
            }
            if core.hub.now().mono >= end || self.exec(&commands).is_none() {
                break;
            }
        }
        if let Some(key) = queue_key {
            let mut commands = Commands::new(&core.scripts);
            commands.delete(key);
            self.exec(&commands);
        }
        core.hub.listens(std::mem::take(&mut self.listens), 0);
    }

    /// Says that this node lives, and finds out whether what it said before is still there; does the same for what it is a
    /// member of whoever is here, and for other nodes.
    fn sign(&mut self, now: Now) {
        let core = Arc::clone(&self.core);
        let (names, me) = (core.hub.names(), core.hub.me());
        self.sign_at = now.mono.plus(core.sign_every_ms());
        let mut commands = Commands::new(&core.scripts);
        commands.sign(&sign_key(names, me));
        for name in &self.own {
            commands.join(&names.members_key(name), &channel_name(me, name), now.wall, core.terms);
        }
        let Round { nodes, members } = self.neighbours.round();
        for node in &nodes {
            commands.lives(&sign_key(names, *node));
        }
        for (name, node) in &members {
            let key = names.members_key(name);
            commands.sweep(&key, &sign_key(names, *node), &channel_name(*node, name));
        }
        let Some(mut answers) = self.exec(&commands) else { return };
        if let Some(error) = refusal(&answers) {
            return self.on_fault(&Fault::of_server(&error));
        }
        let of_nodes = answers.split_off(2 + 2 * self.own.len());
        let found = nodes.into_iter().zip(of_nodes);
        let dead = found.filter(|(_, lives)| *lives == Value::Int(0)).map(|(node, _)| node);
        self.neighbours.on_round(dead.collect());
        if std::mem::replace(&mut self.has_signed, true) && answers.first() == Some(&Value::Nil) {
            // Redis has lost what it had, and kept the connection.
            self.membership.on_lost(self.stood_at);
            self.membership.restart(core.hub.interest());
        }
        self.stood_at = now.wall.plus_ms(-BUS_MARGIN_MS);
        self.line.on_answered();
        core.hub.is_up(Side::Out(self.host));
    }

    /// Joins and leaves as sessions came and went, and refreshes what is due.
    fn follow(&mut self, now: Now) {
        let core = Arc::clone(&self.core);
        let (names, me) = (core.hub.names(), core.hub.me());
        let is_here = |group| core.names_on(self.host, group).next().is_some();
        let step = self.membership.next(core.hub.interest(), is_here, now.mono);
        let mut commands = Commands::new(&core.scripts);
        for group in step.joins.iter().chain(&step.refreshes) {
            for name in core.names_on(self.host, *group) {
                let member = channel_name(me, &name);
                commands.join(&names.members_key(&name), &member, now.wall, core.terms);
            }
        }
        for group in &step.leaves {
            for name in core.names_on(self.host, *group) {
                commands.leave(&names.members_key(&name), &channel_name(me, &name));
            }
        }
        if !step.is_empty() {
            let Some(answers) = self.exec(&commands) else { return };
            if let Some(error) = refusal(&answers) {
                return self.on_fault(&Fault::of_server(&error));
            }
        }
        self.on_followed(step);
    }

    fn on_followed(&mut self, step: Step) {
        let hub = &self.core.hub;
        let done = self.membership.on_done(step);
        hub.heard(&done.heard);
        if let Some(since) = done.gap {
            hub.gap(since);
        }
        let listens = self.membership.len() + self.own.len();
        hub.listens(std::mem::replace(&mut self.listens, listens), listens);
        if self.membership.is_settled() {
            self.core.on_standing(self.host, Standing::Member);
        }
    }
}
