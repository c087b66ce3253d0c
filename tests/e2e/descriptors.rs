//! A process that runs out of descriptors goes on serving whoever is there, and lets others in as those leave.

use std::time::Duration;

use crate::support::{Http, Server, eventually};

const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Clients that find a descriptor, more or less; the first of them watches the figures.
const ROOM: usize = 40;
const CLIENTS: usize = 200;

fn figure(watch: &mut Http, name: &str) -> u64 {
    let figures = watch.ask("GET", "/metrics", "", None);
    let line = figures.text().lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
}

#[test]
fn clients_that_find_no_descriptor_wait_and_are_served_when_others_leave() {
    let server = Server::with(&[("SHARDS", "1"), ("CONNECTIONS_MAX", "1000")]);
    server.limit_descriptors(ROOM);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Http::connect(server.address)).collect();
    for client in &mut clients {
        client.send(HEALTHZ);
    }
    let quiet = Duration::from_millis(500);
    let room = clients.iter_mut().position(|client| client.hears_nothing_for(quiet)).unwrap();
    assert!((ROOM - 5..ROOM + 5).contains(&room), "{room} clients found a descriptor");
    for client in &mut clients[..room] {
        assert_eq!(client.answer(false).status, 200);
    }
    let before = figure(&mut clients[0], "fortifun_shard_turns_total");
    assert!(clients[room].hears_nothing_for(Duration::from_secs(2)));
    let turns = figure(&mut clients[0], "fortifun_shard_turns_total") - before;
    assert!(turns < 100, "{turns} turns in 2 s in which only accepting was tried");
    assert!(figure(&mut clients[0], "fortifun_accept_errors_total") >= 2);
    // Each that leaves makes room for the next.
    for next in room..CLIENTS {
        clients.remove(1);
        assert_eq!(clients[room - 1].answer(false).status, 200, "client {next}");
    }
    clients.truncate(1);
    eventually("room for all", || {
        server.log().contains("descriptors are there again").then_some(()).or_else(|| {
            figure(&mut clients[0], "fortifun_accept_errors_total");
            None
        })
    });
    assert_eq!(server.log().matches("nothing can be accepted").count(), 1, "{}", server.log());
    assert_eq!(server.ask("GET", "/healthz", "", None).status, 200);
}
