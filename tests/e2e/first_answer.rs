//! A database that answers late, and not with what was hoped for.

use fortifun_fixtures::{Durability, Postgres};

use crate::support::Server;

#[test]
fn a_schema_found_lacking_after_the_start_ends_the_server_with_the_command() {
    let mut postgres = Postgres::start(Durability::Relaxed);
    let database = postgres.database();
    let mut server = Server::on(&database.url(), &[]);
    server.kill();
    let newest = "(SELECT max(id) FROM fortifun_migration)";
    let forget = format!("DELETE FROM fortifun_migration WHERE id = {newest}");
    database.connect().batch_execute(&forget).unwrap();
    postgres.stop();
    server.restart();
    assert_eq!(server.ask("GET", "/healthz", "", None).status, 200);
    assert_eq!(server.ask("GET", "/readyz", "", None).status, 503);
    postgres.resume();
    assert_eq!(server.wait().code(), Some(3));
    let log = server.log();
    assert!(log.contains("DATABASE_URL: schema: ") && log.contains("fortifun migrate"), "{log}");
}
