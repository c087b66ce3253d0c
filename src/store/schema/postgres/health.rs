//! What a Postgres server says of itself, for `doctor`.

use postgres::Client;

use crate::store::StoreError;
use crate::time::Timestamp;

const HEALTH: &str = "
    SELECT current_setting('server_version_num')::int,
           current_setting('fsync')::boolean,
           current_setting('full_page_writes')::boolean,
           current_setting('synchronous_commit'),
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int,
           (SELECT count(*)::int FROM pg_stat_activity
            WHERE datid IS NOT NULL AND pid <> pg_backend_pid()),
           pg_is_in_recovery(),
           clock_timestamp()";

/// A Postgres server as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// Its version, as `server_version_num` says it: 150018.
    pub version: i32,
    /// True exactly when a commit is synced to the disk.
    pub fsync: bool,
    /// True exactly when a page torn by a crash is mended.
    pub full_page_writes: bool,
    /// What a commit waits for.
    pub synchronous_commit: String,
    /// Connections that anybody may have.
    pub connections_max: i32,
    /// Connections that others have now, this node's own server among them.
    pub connections: i32,
    /// True exactly when it follows another server: nothing can be written.
    pub is_standby: bool,
    /// Its clock.
    pub clock: Timestamp,
}

/// Asks; one round trip.
///
/// # Errors
///
/// What kept it from answering.
pub fn health(client: &mut Client) -> Result<Health, StoreError> {
    let row = client.query_one(HEALTH, &[])?;
    Ok(Health {
        version: row.get(0),
        fsync: row.get(1),
        full_page_writes: row.get(2),
        synchronous_commit: row.get(3),
        connections_max: row.get(4),
        connections: row.get(5),
        is_standby: row.get(6),
        clock: row.get(7),
    })
}
