//! One suite for the port to what is kept, run for every store: the same requests, the same answers.
//!
//! A store joins by a function that makes an empty [`World`] of it, and by the two tests that run [`suite`] and [`agreement`].

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says where"
)]

#[path = "store/agreement.rs"]
mod agreement;
#[path = "store/batches.rs"]
mod batches;
#[path = "store/conversations.rs"]
mod conversations;
#[path = "store/crowd.rs"]
mod crowd;
#[path = "store/leases.rs"]
mod leases;
#[path = "store/likes.rs"]
mod likes;
#[path = "store/messages.rs"]
mod messages;
#[path = "store/missed.rs"]
mod missed;
#[path = "store/people.rs"]
mod people;
#[path = "store/revocations.rs"]
mod revocations;
#[path = "store/settle.rs"]
mod settle;
#[path = "store/world.rs"]
mod world;

use world::{PostgresGround, World};

/// What holds for every store, each in a world of its own.
fn suite(make: &dyn Fn() -> World) {
    let themes = [
        batches::RULES,
        conversations::RULES,
        crowd::RULES,
        leases::RULES,
        likes::RULES,
        messages::RULES,
        missed::RULES,
        people::RULES,
        revocations::RULES,
        settle::RULES,
    ];
    for (name, rule) in themes.concat() {
        // Shown where a rule fails.
        println!("{name}");
        rule(&mut make());
    }
}

/// A rule and its name.
type Rule = (&'static str, fn(&mut World));

/// The rules of a module, by their names.
macro_rules! rules {
    ($($name:ident),+ $(,)?) => { &[$((stringify!($name), $name)),+] };
}
use rules;

#[test]
fn memory_keeps_the_port() {
    suite(&world::memory);
}

#[test]
fn sqlite_keeps_the_port() {
    suite(&world::sqlite);
}

#[test]
fn postgres_keeps_the_port() {
    let ground = PostgresGround::new();
    suite(&|| ground.world());
}

#[test]
fn postgres_agrees_with_memory() {
    let ground = PostgresGround::new();
    agreement::check(&|| ground.world());
}

#[test]
fn sqlite_agrees_with_memory() {
    agreement::check(&world::sqlite);
}
