//! The servers that are asked, and which of them has what.

use std::sync::Arc;

use super::{Admin, Fault, Link, NAME, Trouble};
use crate::channel::bus::Ring;
use crate::channel::redis::link::Endpoint;
use crate::channel::redis::pubsub::cluster;
use crate::channel::redis::pubsub::route::{PLAIN, Place, Route, SHARDED, Words};

/// See the module.
pub(super) struct Hosts {
    /// By their places.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) route: Route,
    /// How pub/sub is spoken there.
    pub(super) words: &'static Words,
}

impl Admin {
    /// Those of the settings; of a cluster its masters, as the first node that answers knows them.
    ///
    /// # Errors
    /// What the last of the nodes said.
    pub(super) fn hosts(&self) -> Result<Hosts, Trouble> {
        if !self.is_cluster {
            let route = Route::Ring(Ring::new(self.named.len()));
            return Ok(Hosts { endpoints: self.named.clone(), route, words: &PLAIN });
        }
        let mut last = Fault::Unreachable("no node is named".to_owned());
        let mut place = "REDIS_URL".to_owned();
        for seed in &self.named {
            let asked = Link::open(seed, NAME, &self.clock)
                .and_then(|mut link| cluster::read(&mut link, seed));
            match asked {
                Ok(slots) => {
                    let masters = slots.masters().iter();
                    let endpoints = masters.map(|(host, port)| seed.at(host, *port)).collect();
                    let route = Route::Slots(Arc::new(slots));
                    return Ok(Hosts { endpoints, route, words: &SHARDED });
                }
                Err(fault) => (last, place) = (fault, seed.shown().to_owned()),
            }
        }
        Err(Trouble { place, fault: last })
    }
}

impl Hosts {
    /// The server that has `name`.
    ///
    /// # Errors
    /// It is of a slot of a cluster that no master has.
    pub(super) fn of(&self, name: &str) -> Result<&Endpoint, Trouble> {
        let nobody = || Trouble {
            place: self.endpoints[0].shown().to_owned(),
            fault: Fault::Refused(format!("no master of the cluster has the slot of {name}")),
        };
        self.route.host(name).map(|host| &self.endpoints[host]).ok_or_else(nobody)
    }

    /// What is at the `host`th server.
    pub(super) const fn place<'a>(&'a self, admin: &'a Admin, host: usize) -> Place<'a> {
        Place { names: &admin.names, route: &self.route, host }
    }
}
