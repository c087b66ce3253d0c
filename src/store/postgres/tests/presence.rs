//! Users whom several nodes have, and let go at once.

use super::plans::migrated;
use super::*;

/// A migrated database with `count` users.
fn users(count: i64) -> Database {
    let database = migrated();
    database
        .connect()
        .batch_execute(&format!(
            "INSERT INTO accounts_user (password, is_superuser, username, first_name, last_name,
                 email, is_staff, is_active, date_joined)
             SELECT '!', false, 'user' || n, '', '', '', false, true, now()
             FROM generate_series(1, {count}) n"
        ))
        .unwrap();
    database
}

/// All of them, in an order of its own.
fn set(count: i64, node: NodeId, is_online: bool) -> Vec<Request> {
    let user = |n: i64| UserId(1 + (n * (2 * node.0 as i64 + 1) + node.0 as i64) % count);
    (0..count).map(|n| Request::SetPresence { user: user(n), is_online, node }).collect()
}

/// How many changes are to be told.
fn told(outcomes: &[Outcome], online: bool) -> usize {
    let is_told = |outcome: &&Outcome| match outcome {
        Ok(Reply::Presence { is_online, is_changed, .. }) => *is_changed && *is_online == online,
        Ok(Reply::Done) => false,
        outcome => panic!("{outcome:?}"),
    };
    outcomes.iter().filter(is_told).count()
}

fn online(client: &mut Client) -> i64 {
    let sql = "SELECT count(*) FROM accounts_user WHERE is_online";
    client.query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn of_nodes_that_let_go_at_once_the_last_one_takes_the_user_offline() {
    // Divided by no node's stride.
    const USERS: i64 = 32;
    const ROUNDS: usize = 60;
    let database = users(USERS);
    let nodes = [NodeId(1), NodeId(2), NodeId(3)];
    let meet = Barrier::new(nodes.len());
    let work = |node: NodeId| {
        let mut store = writer(&database);
        let lease = Request::Lease { node, lease_s: 3_600, reap: false };
        commit(&mut store, &[lease]);
        let (mut came, mut went) = (0, 0);
        for round in 0..ROUNDS {
            meet.wait();
            came += told(&commit(&mut store, &set(USERS, node, true)), true);
            meet.wait();
            let mut batch = set(USERS, node, false);
            if round % 2 == 0 {
                // Two steps, and so two statements, each with some of them.
                batch.insert(USERS as usize / 2, Request::Ping);
            }
            went += told(&commit(&mut store, &batch), false);
            meet.wait();
            assert_eq!(online(&mut database.connect()), 0, "round {round}");
        }
        (came, went)
    };
    let (came, went) = std::thread::scope(|scope| {
        let work = &work;
        let workers = nodes.map(|node| scope.spawn(move || work(node)));
        let sums = workers.map(|worker| worker.join().unwrap());
        sums.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    assert_eq!((came, went), (ROUNDS * USERS as usize, ROUNDS * USERS as usize));
}
