//! Several workers at once, each with a connection of its own.

use std::collections::BTreeSet;
use std::sync::Barrier;

use fortifun_realtime::model::UserId;
use fortifun_realtime::store::{Lane, Open, Outcome, Reply, Request, StoreErrorKind};

use super::world::{BEGINNING, WELCOME, World, add_user, append, append_as, like};
use super::{Rule, rules};

pub(crate) const RULES: &[Rule] = rules![
    concurrent_likes_make_each_match_once,
    concurrent_messages_take_places_without_holes,
    concurrent_repeats_are_stored_once,
];

const PAIRS: i64 = 1_000;

/// Commits each worker's requests in batches of `size`, all workers at once, and returns all outcomes by worker.
fn at_once(open: &Open, size: usize, workers: &[Vec<Request>]) -> Vec<Vec<Outcome>> {
    let start = Barrier::new(workers.len());
    let work = |requests: &[Request]| {
        start.wait();
        commit(open, size, requests)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            workers.iter().map(|requests| scope.spawn(|| work(requests))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Commits `requests` on a connection of its own.
fn commit(open: &Open, size: usize, requests: &[Request]) -> Vec<Outcome> {
    let mut store = open(Lane::Write).unwrap();
    let mut outcomes = Vec::new();
    for batch in requests.chunks(size) {
        outcomes.extend(loop {
            match store.commit(batch, BEGINNING) {
                Ok(outcomes) => break outcomes,
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Contended),
            }
        });
    }
    outcomes
}

fn concurrent_likes_make_each_match_once(world: &mut World) {
    let users: Vec<_> = (1..=2 * PAIRS).map(|n| add_user(&n.to_string())).collect();
    assert!(world.commit(&users).unwrap().iter().all(Result::is_ok));
    let pairs: Vec<_> = (1..=PAIRS).map(|n| (UserId(2 * n - 1), UserId(2 * n))).collect();
    let (same, opposite) = pairs.split_at(pairs.len() / 2);
    // Over the first half two workers race through the same pairs, over the second they meet in the middle; and of each two
    // neighbours a worker likes one from either side, so that either like completes a match whoever is faster.
    let likes = |&(a, b): &(UserId, UserId)| if a.0 % 4 == 1 { like(a, b) } else { like(b, a) };
    let liked = |&(a, b): &(UserId, UserId)| if a.0 % 4 == 1 { like(b, a) } else { like(a, b) };
    let workers = [
        same.iter().map(likes).collect(),
        same.iter().map(liked).collect(),
        opposite.iter().map(likes).collect(),
        opposite.iter().rev().map(liked).collect(),
    ];
    let outcomes = at_once(&world.open, 5, &workers).concat();
    let mut completed_by_first = 0;
    let mut made_of = BTreeSet::new();
    for outcome in outcomes {
        let Ok(Reply::Liked { liker, liked, made }) = outcome else { panic!("{outcome:?}") };
        let Some(made) = made else { continue };
        let welcome = made.welcome.unwrap();
        assert_eq!((welcome.sender.id, &*welcome.content), (liker.id, WELCOME));
        completed_by_first += usize::from(liker.id < liked.id);
        assert!(made_of.insert((liker.id.min(liked.id), made.made.conversation)));
    }
    assert_eq!(made_of.len(), pairs.len());
    assert!(0 < completed_by_first && completed_by_first < pairs.len(), "{completed_by_first}");
    let tables = world.backdoor.tables();
    assert_eq!(tables.matches, pairs.iter().map(|&(a, b)| (a, b, true)).collect::<Vec<_>>());
    assert_eq!((tables.conversations.len(), tables.messages.len()), (pairs.len(), pairs.len()));
}

fn concurrent_messages_take_places_without_holes(world: &mut World) {
    let (a, b, talk) = world.talk();
    let stranger = world.user("cleo");
    let workers: Vec<Vec<_>> = [a, b, a, stranger]
        .iter()
        .map(|&sender| (0..300).map(|n| append(talk, sender, &n.to_string())).collect())
        .collect();
    let outcomes = at_once(&world.open, 7, &workers);
    for replies in &outcomes[..3] {
        // A worker's own messages keep their order.
        let places: Vec<_> = replies
            .iter()
            .map(|outcome| match outcome {
                Ok(Reply::Appended { message, .. }) => message.seq,
                _ => panic!("{outcome:?}"),
            })
            .collect();
        assert!(places.is_sorted());
    }
    assert!(outcomes[3].iter().all(Result::is_err));
    let places: Vec<_> = world.backdoor.tables().messages.iter().map(|line| line.seq.0).collect();
    assert_eq!(places, (1..=901).collect::<Vec<_>>());
}

fn concurrent_repeats_are_stored_once(world: &mut World) {
    let (a, _, talk) = world.talk();
    let sends: Vec<_> = (0..100).map(|n| append_as(talk, a, "once", &n.to_string())).collect();
    let outcomes = at_once(&world.open, 3, &vec![sends; 4]).concat();
    let stored = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Reply::Appended { duplicate: false, .. })))
        .count();
    assert_eq!(stored, 100);
    assert_eq!(world.backdoor.tables().messages.len(), 101);
}
