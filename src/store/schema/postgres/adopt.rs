//! Django's tables: made where there are none, and where there are looked at: they are adopted as they are, or refused with
//! every difference named.

use postgres::{Client, Row};

use super::tables::{Kind, TABLES, Table};
use super::{Progress, session};
use crate::store::{StoreError, StoreErrorKind};

const DJANGO: &str = include_str!("../../migrations/postgres/0001_django.sql");

/// The database's encoding, and which of the tables are there.
const FOUND: &str = "
    SELECT current_setting('server_encoding'),
           ARRAY(SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL)";

/// A table's columns: name, type for the server, type for people, whether an INSERT has to give it.
const COLUMNS: &str = "
    SELECT a.attname::text, t.typname::text, format_type(a.atttypid, a.atttypmod),
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

/// The columns of each of a table's unique indexes that cover all its rows, by name.
const UNIQUE: &str = "
    SELECT ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) ORDER BY a.attname)
    FROM pg_index i
    WHERE i.indrelid = to_regclass($1::text) AND i.indisunique AND i.indisvalid
      AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = i.indnatts";

const IS_ORDINARY: &str = "SELECT relkind = 'r' FROM pg_class WHERE oid = to_regclass($1::text)";

/// Makes the tables, or looks at those that are there.
///
/// # Errors
///
/// [`StoreErrorKind::Schema`], naming every difference.
pub(super) fn tables(
    client: &mut Client,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    if are_there(client)? {
        return Ok(());
    }
    session::patiently(client, progress, |client| {
        let mut transaction = client.transaction()?;
        transaction.batch_execute(DJANGO)?;
        transaction.commit()
    })
}

/// What [`tables`] would do, for people.
///
/// # Errors
///
/// As [`tables`].
pub(super) fn foresee(client: &mut Client) -> Result<String, StoreError> {
    let found = if are_there(client)? { "they are there and fit" } else { "there are none" };
    Ok(found.to_owned())
}

/// True exactly when the tables are there, all of them, and fit; false where there is none.
fn are_there(client: &mut Client) -> Result<bool, StoreError> {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let row = client.query_one(FOUND, &[&names])?;
    let (encoding, found): (String, Vec<String>) = (row.get(0), row.get(1));
    let mut differences = Vec::new();
    if encoding != "UTF8" {
        differences.push(format!("the database's encoding is {encoding}, UTF8 is needed"));
    }
    if !found.is_empty() {
        for table in TABLES {
            if found.iter().any(|name| name == table.name) {
                compare(client, table, &mut differences)?;
            } else {
                differences.push(format!("{}: there is no such table", table.name));
            }
        }
    }
    if differences.is_empty() {
        return Ok(!found.is_empty());
    }
    Err(StoreError {
        kind: StoreErrorKind::Schema,
        detail: format!(
            "the tables are not as Django's migrations make them:\n{}",
            differences.join("\n")
        ),
    })
}

/// A column as it is.
struct Column {
    name: String,
    type_name: String,
    shown: String,
    must_be_given: bool,
}

fn compare(
    client: &mut Client,
    table: &Table,
    differences: &mut Vec<String>,
) -> Result<(), StoreError> {
    let name = table.name;
    if !client.query_one(IS_ORDINARY, &[&name])?.get::<_, bool>(0) {
        differences.push(format!("{name}: is not an ordinary table"));
        return Ok(());
    }
    let columns: Vec<Column> = client.query(COLUMNS, &[&name])?.iter().map(column).collect();
    let of = |wanted: &str| columns.iter().find(|column| column.name == wanted);
    let mut tell =
        |column: &str, told: String| differences.push(format!("{name}.{column}: {told}"));
    for (wanted, kind) in [("id", Kind::Bigint)].iter().chain(table.columns) {
        match of(wanted) {
            None => tell(wanted, format!("is missing, {} is needed", kind.wanted())),
            Some(column) if !kind.is(&column.type_name) => {
                tell(wanted, format!("is {}, {} is needed", column.shown, kind.wanted()));
            }
            Some(column) if *wanted == "id" && column.must_be_given => {
                tell(
                    wanted,
                    "does not give itself: it has neither identity nor default".to_owned(),
                );
            }
            Some(_) => {}
        }
    }
    for column in &columns {
        let is = |known: &&str| *known == column.name;
        if table.added.iter().any(is) {
            tell(&column.name, "is there already, and is somebody else's".to_owned());
        } else if column.must_be_given
            && column.name != "id"
            && !table.columns.iter().any(|(known, _)| is(known))
            && !table.others.iter().any(is)
        {
            tell(&column.name, "is not known here, and is NOT NULL without a default".to_owned());
        }
    }
    let unique: Vec<Vec<String>> =
        client.query(UNIQUE, &[&name])?.iter().map(|row| row.get(0)).collect();
    for wanted in table.unique {
        let mut sorted = wanted.to_vec();
        sorted.sort_unstable();
        if !unique.iter().any(|columns| *columns == sorted) {
            differences.push(format!("{name}: nothing makes ({}) unique", wanted.join(", ")));
        }
    }
    Ok(())
}

fn column(row: &Row) -> Column {
    Column { name: row.get(0), type_name: row.get(1), shown: row.get(2), must_be_given: row.get(3) }
}
