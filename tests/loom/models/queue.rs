//! Models of the queue to the workers, whose threads are interrupted at most three times where they could go on: a condition
//! and a lock have too many interleavings for all of them. But for the end's own model a sender stays to the end: the last one's
//! going would wake every sleeper.

use std::mem::ManuallyDrop;

use loom::model::Builder;
use loom::thread;

use crate::queue::{Receiver, bounded};

/// loom fails a run in which a receiver sleeps for ever.
#[test]
fn what_was_rung_for_is_received_whoever_rang() {
    model(|| {
        let (sender, receiver) = bounded(2);
        for item in [1, 2] {
            let sender = sender.clone();
            thread::spawn(move || {
                sender.try_send(item).unwrap();
                sender.ring();
            });
        }
        assert_eq!(receiver.recv().unwrap() + receiver.recv().unwrap(), 3);
        drop(sender);
    });
}

#[test]
fn one_ring_wakes_as_many_as_there_are_items() {
    model(|| {
        let (sender, receiver) = bounded(2);
        let takers = [receiver.clone(), receiver].map(taker);
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        sender.ring();
        assert_eq!(takers.map(|taker| taker.join().unwrap().unwrap()).iter().sum::<u32>(), 3);
        drop(sender);
    });
}

#[test]
fn sleepers_are_woken_by_the_end() {
    model(|| {
        let (sender, receiver) = bounded(2);
        let takers = [receiver.clone(), receiver].map(taker);
        sender.try_send(1).unwrap();
        drop(sender);
        let mut taken = takers.map(|taker| taker.join().unwrap());
        taken.sort_unstable();
        assert_eq!(taken, [None, Some(1)]);
    });
}

/// So the models can tell right from wrong.
#[test]
#[should_panic(expected = "deadlock")]
fn without_a_ring_a_receiver_sleeps_beside_an_item() {
    model(|| {
        let (sender, receiver) = bounded(2);
        // An end that a panic drops would lock, which loom takes amiss by then.
        let sender = ManuallyDrop::new(sender);
        let taker = taker(receiver);
        sender.try_send(1).unwrap();
        taker.join().unwrap();
        drop(ManuallyDrop::into_inner(sender));
    });
}

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

fn taker(receiver: Receiver<u32>) -> thread::JoinHandle<Option<u32>> {
    thread::spawn(move || receiver.recv())
}
