//! Which tables are adopted, and which are refused.

use fortifun_fixtures::django::{history, wrong};

use super::*;

#[track_caller]
fn refused(change: &str, expect: &[&str]) {
    let (_database, mut client) = djangos();
    client.batch_execute(change).unwrap();
    let before = catalog(&mut client);
    let error = plan(&mut client).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Schema);
    let told: Vec<&str> = error.detail.lines().skip(1).collect();
    assert_eq!(told, expect, "{change}");
    assert_eq!(catalog(&mut client), before, "a plan changes nothing");
    assert_eq!(migrate(&mut client, NOW, &mut quiet).unwrap_err().kind, StoreErrorKind::Schema);
    let mut after = catalog(&mut client);
    after.retain(|line| !line.contains("fortifun_migration"));
    assert_eq!(after, before, "what is refused is left as it was");
}

#[test]
fn every_difference_is_named() {
    refused(
        "ALTER TABLE conversations_message DROP COLUMN attachment;
         ALTER TABLE accounts_user ALTER COLUMN last_activity TYPE timestamp;
         ALTER TABLE matching_match DROP CONSTRAINT matching_match_user1_id_user2_id_4c543c92_uniq;
         DROP TABLE accounts_user_blocked_users",
        &[
            "accounts_user.last_activity: is timestamp without time zone, \
             timestamp with time zone is needed",
            "accounts_user_blocked_users: there is no such table",
            "conversations_message.attachment: is missing, text or varchar is needed",
            "matching_match: nothing makes (user1_id, user2_id) unique",
        ],
    );
}

#[test]
fn ids_are_bigint_and_give_themselves() {
    refused(
        "ALTER TABLE accounts_user ALTER COLUMN id TYPE integer;
         ALTER TABLE conversations_message ALTER COLUMN id DROP IDENTITY",
        &[
            "accounts_user.id: is integer, bigint is needed",
            "conversations_message.id: does not give itself: it has neither identity nor default",
        ],
    );
}

#[test]
fn a_column_that_our_rows_would_lack_is_refused_and_one_that_they_need_not_have_is_not() {
    refused(
        "ALTER TABLE conversations_message ADD COLUMN mood text NOT NULL, ADD COLUMN note text,
             ADD COLUMN weight int NOT NULL DEFAULT 1",
        &["conversations_message.mood: is not known here, and is NOT NULL without a default"],
    );
}

#[test]
fn a_column_of_ours_that_is_somebody_elses_is_refused() {
    refused(
        "ALTER TABLE conversations_message ADD COLUMN seq integer",
        &["conversations_message.seq: is there already, and is somebody else's"],
    );
}

#[test]
fn tables_that_look_like_others_are_refused() {
    refused(
        "DROP TABLE matching_match; CREATE VIEW matching_match AS SELECT 1 AS id",
        &["matching_match: is not an ordinary table"],
    );
}

#[test]
fn the_older_form_of_users_is_adopted() {
    let (_database, mut client) = djangos();
    client
        .batch_execute(
            "ALTER TABLE accounts_user
                 ALTER COLUMN bio SET NOT NULL, ALTER COLUMN phone_number SET NOT NULL,
                 ALTER COLUMN location SET NOT NULL, ALTER COLUMN is_online SET NOT NULL,
                 ALTER COLUMN gender SET NOT NULL",
        )
        .unwrap();
    history(&mut client, 4, 4, 4);
    let mut client = migrated(client);
    assert_eq!(wrong(&mut client), [""; 0]);
}

#[test]
fn ids_that_are_serial_are_adopted() {
    let (_database, mut client) = djangos();
    for table in tables::TABLES {
        let name = table.name;
        client
            .batch_execute(&format!(
                "ALTER TABLE {name} ALTER COLUMN id DROP IDENTITY;
                 CREATE SEQUENCE {name}_serial OWNED BY {name}.id;
                 ALTER TABLE {name} ALTER COLUMN id SET DEFAULT nextval('{name}_serial')"
            ))
            .unwrap();
    }
    history(&mut client, 4, 4, 4);
    let mut client = migrated(client);
    assert_eq!(wrong(&mut client), [""; 0]);
}

#[test]
fn tables_that_some_deployments_lack_are_not_missed() {
    let (_database, mut client) = djangos();
    client
        .batch_execute(
            "DROP TABLE device_tokens, matching_userinterestrelation, matching_userinterest",
        )
        .unwrap();
    let mut client = migrated(client);
    let made: bool =
        client.query_one("SELECT to_regclass('device_tokens') IS NOT NULL", &[]).unwrap().get(0);
    assert!(!made, "they are Django's to make");
}

#[test]
fn a_plan_says_in_numbers_what_there_is_to_do_and_changes_nothing() {
    let (_database, mut client) = djangos();
    history(&mut client, 4, 4, 5);
    let before = catalog(&mut client);
    let found = |client: &mut Client| -> Vec<(i64, String)> {
        plan(client)
            .unwrap()
            .into_iter()
            .map(|planned| (planned.pending.id, planned.found))
            .collect()
    };
    let planned = found(&mut client);
    assert_eq!(planned.len(), POSTGRES.len());
    assert_eq!(planned[0].1, "they are there and fit");
    assert_eq!(planned[3].1, "conversations_message_unnumbered");
    assert_eq!(planned[4].1, "20 messages in 4 conversations");
    assert!(planned[5].1.starts_with("conversations_message_seq, "));
    assert_eq!(planned[7].1, "8 participants; conversations_participants_active");
    assert_eq!(catalog(&mut client), before);
    let (_other, mut nothing) = empty();
    let planned = found(&mut nothing);
    assert_eq!(planned[0].1, "there are none");
    assert_eq!(planned[4].1, "");
    assert_eq!(planned[7].1, "conversations_participants_active");
}

#[test]
fn a_database_that_cannot_hold_every_text_is_refused() {
    let (_database, mut admin) = empty();
    admin
        .batch_execute("CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        .unwrap();
    let port = Postgres::shared().port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/narrow");
    let mut narrow = Client::connect(&url, postgres::NoTls).unwrap();
    let error = migrate(&mut narrow, NOW, &mut quiet).unwrap_err();
    assert!(error.detail.contains("encoding is LATIN1"), "{error}");
}
