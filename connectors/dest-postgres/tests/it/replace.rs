//! `replace`: the old table until the swap, the new one after it, and nothing that hung on it lost.

use std::time::Duration;

use dest_postgres::DestPostgres;
use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};

use crate::harness::{Database, cursor, people, people_stream, write_with};

fn old_table(database: &Database) {
    database.run(
        "CREATE SCHEMA raw; CREATE TABLE raw.people (id int8 NOT NULL, name text); \
         INSERT INTO raw.people VALUES (1, 'old'), (2, 'old')",
    );
}

const OLD: [&str; 2] = ["(1,old)", "(2,old)"];

fn replace(database: &Database, last_id: u64, rows: &[(i64, &str)]) -> TestHost {
    let (result, host) = database.write_behind(last_id, &people_stream(WriteMode::Replace), |host| {
        host.feed_batch(&people(rows));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.leftovers(), "");
    host
}

#[test]
fn readers_see_the_old_table_until_the_last_commit() {
    let database = Database::new();
    old_table(&database);
    block_on(async {
        let host = TestHost::new();
        let running = tokio::task::spawn_local({
            let (host, config) = (host.clone(), database.config());
            async move {
                let mut session = host.destination::<DestPostgres>(config).await?;
                session.run(RunRequest::write(people_stream(WriteMode::Replace))).await
            }
        });
        for step in 1..=3 {
            host.feed_batch(&people(&[(step * 10, "new")]));
            host.feed_checkpoint(cursor(step));
            while host.committed_checkpoints().len() < step as usize {
                assert!(!running.is_finished(), "the run ended before checkpoint {step}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(database.rows("raw.people"), OLD, "behind checkpoint {step}");
        }
        host.feed_batch(&people(&[(40, "new")]));
        host.feed_end();
        running.await.unwrap().unwrap();
    });
    assert_eq!(database.rows("raw.people"), ["(10,new)", "(20,new)", "(30,new)", "(40,new)"]);
    assert_eq!(database.leftovers(), "");
}

#[test]
fn the_first_replace_and_the_next_and_one_without_rows() {
    let database = Database::new();
    replace(&database, 0, &[(1, "a")]);
    assert_eq!(database.rows("raw.people"), ["(1,a)"]);
    replace(&database, 1, &[(2, "b"), (3, "c")]);
    assert_eq!(database.rows("raw.people"), ["(2,b)", "(3,c)"]);
    let (result, _) = database.write_behind(2, &people_stream(WriteMode::Replace), |host| {
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), [""; 0]);
    assert_eq!(database.query("SELECT obj_description('raw.people'::regclass)"), "");
}

#[test]
fn a_failed_replace_leaves_the_old_table_and_resumes_behind_its_receipt() {
    let database = Database::new();
    old_table(&database);
    let stream = people_stream(WriteMode::Replace);
    let (result, _) = database.write(&stream, |host| {
        host.feed_batch(&people(&[(10, "new")]));
        host.feed_checkpoint(cursor(10));
        host.feed_batch(&people(&[(20, "lost")]));
        host.feed_failure();
    });
    result.unwrap_err();
    assert_eq!(database.rows("raw.people"), OLD);
    assert_ne!(database.leftovers(), "");

    let (result, host) = database.write_behind(1, &stream, |host| {
        host.feed_batch(&people(&[(20, "new")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(host.receipts(), [Receipt { id: 1, cursor: cursor(10), complete: false }]);
    assert_eq!(database.rows("raw.people"), ["(10,new)", "(20,new)"]);
    assert_eq!(database.leftovers(), "");
}

#[test]
fn a_restarted_replace_forgets_what_was_staged() {
    let database = Database::new();
    old_table(&database);
    let stream = people_stream(WriteMode::Replace);
    let (result, _) = database.write(&stream, |host| {
        host.feed_batch(&people(&[(10, "stale")]));
        host.feed_checkpoint(cursor(10));
        host.feed_end_of_stopped_source();
    });
    result.unwrap();
    let (result, _) = database.write_behind(1, &stream, |host| {
        host.set_continuation(Continuation::Restart);
        host.feed_batch(&people(&[(1, "new")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), ["(1,new)"]);
    assert_eq!(database.leftovers(), "");
}

#[test]
fn a_replace_without_order_leaves_nothing_when_it_fails() {
    let database = Database::new();
    old_table(&database);
    let (result, _) = database.write(&people_stream(WriteMode::Replace), |host| {
        host.feed_batch(&people(&[(10, "new")]));
        host.feed_failure();
    });
    result.unwrap_err();
    assert_eq!(database.rows("raw.people"), OLD);
    assert_eq!(database.leftovers(), "");
}

#[test]
fn rows_that_were_staged_and_lost_are_not_taken_for_done() {
    let stream = people_stream(WriteMode::Replace);
    let begin = |database: &Database| {
        let (result, _) = database.write(&stream, |host| {
            host.feed_batch(&people(&[(10, "new")]));
            host.feed_checkpoint(cursor(10));
            host.feed_end_of_stopped_source();
        });
        result.unwrap();
    };
    let again = |database: &Database, stream: &StreamContext| {
        let (result, _) = database.write_behind(1, stream, |host| {
            host.feed_batch(&people(&[(20, "new")]));
            host.feed_end();
        });
        result.unwrap_err()
    };
    // Somebody dropped the staging table.
    let database = Database::new();
    begin(&database);
    let staging = database.leftovers();
    database.run(&format!("DROP TABLE raw.{staging}"));
    assert_eq!(again(&database, &stream).code, "staging_lost");
    // The mode was changed in the middle.
    let database = Database::new();
    begin(&database);
    let error = again(&database, &people_stream(WriteMode::Append));
    assert_eq!(error.code, "unfinished_replace");
    assert!(error.message.contains("state reset"), "{}", error.message);
}

#[test]
fn a_renamed_table_keeps_keys_indexes_checks_defaults_grants_and_comments() {
    let database = Database::new();
    database.run(
        "CREATE ROLE reader; CREATE ROLE writer; CREATE SCHEMA raw; \
         ALTER DEFAULT PRIVILEGES IN SCHEMA raw GRANT DELETE ON TABLES TO writer; \
         CREATE TABLE raw.people (id int8 NOT NULL, name text DEFAULT 'nobody' CHECK (name <> 'x'), \
            added int NOT NULL DEFAULT 7, CONSTRAINT people_key PRIMARY KEY (id)); \
         ALTER TABLE raw.people ADD CONSTRAINT \"Unique Name\" UNIQUE (name, id); \
         CREATE INDEX \"By Name\" ON raw.people (lower(name) text_pattern_ops) WHERE id > 0; \
         COMMENT ON TABLE raw.people IS 'it''s people'; COMMENT ON COLUMN raw.people.id IS 'who'; \
         REVOKE ALL ON raw.people FROM writer; \
         GRANT SELECT ON raw.people TO reader, PUBLIC; GRANT INSERT ON raw.people TO writer WITH GRANT OPTION; \
         INSERT INTO raw.people VALUES (1, 'old')",
    );
    let shape = || {
        database.query(
            "SELECT string_agg(pg_get_indexdef(indexrelid), E'\\n' ORDER BY pg_get_indexdef(indexrelid)) FROM pg_index WHERE indrelid = 'raw.people'::regclass; \
             SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), E'\\n' ORDER BY conname) FROM pg_constraint \
                WHERE conrelid = 'raw.people'::regclass; \
             SELECT string_agg(attname || format_type(atttypid, atttypmod) || attnotnull \
                || coalesce(col_description(attrelid, attnum), ''), ',' ORDER BY attnum) \
                FROM pg_attribute WHERE attrelid = 'raw.people'::regclass AND attnum > 0; \
             SELECT array_agg(acl::text ORDER BY acl::text) FROM pg_class, unnest(relacl) acl \
                WHERE oid = 'raw.people'::regclass; \
             SELECT obj_description('raw.people'::regclass), relowner FROM pg_class WHERE oid = 'raw.people'::regclass",
        )
    };
    let (before, oid) = (shape(), database.query("SELECT 'raw.people'::regclass::oid"));
    replace(&database, 0, &[(2, "new"), (3, "new too")]);
    assert_eq!(shape(), before);
    assert_ne!(database.query("SELECT 'raw.people'::regclass::oid"), oid, "the table was renamed into place");
    assert_eq!(database.rows("raw.people"), ["(2,new,7)", "(3,\"new too\",7)"]);
    // And once more, over what the first swap made.
    replace(&database, 1, &[(4, "newer")]);
    assert_eq!(shape(), before);
    database.run("DROP SCHEMA raw CASCADE; DROP OWNED BY reader, writer; DROP ROLE reader; DROP ROLE writer");
}

#[test]
fn a_table_that_others_depend_on_is_filled_in_place() {
    let database = Database::new();
    for (name, dependent) in [
        ("a view", "CREATE VIEW raw.v AS SELECT count(*) FROM raw.people"),
        ("a materialized view", "CREATE MATERIALIZED VIEW raw.m AS SELECT * FROM raw.people"),
        (
            "a foreign key",
            "ALTER TABLE raw.people ADD PRIMARY KEY (id); CREATE TABLE raw.f (id int8 REFERENCES raw.people)",
        ),
        (
            "a trigger",
            "CREATE FUNCTION raw.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
             CREATE TRIGGER t BEFORE INSERT ON raw.people FOR EACH ROW EXECUTE FUNCTION raw.t()",
        ),
        ("a policy", "CREATE POLICY p ON raw.people USING (true)"),
        (
            "a publication",
            "ALTER TABLE raw.people ADD PRIMARY KEY (id); CREATE PUBLICATION p FOR TABLE raw.people",
        ),
        ("a sequence", "ALTER TABLE raw.people ADD COLUMN s serial"),
        ("an identity", "ALTER TABLE raw.people ADD COLUMN s int GENERATED ALWAYS AS IDENTITY"),
        ("a column grant", "GRANT SELECT (id) ON raw.people TO PUBLIC"),
        ("a storage setting", "ALTER TABLE raw.people SET (fillfactor = 50)"),
        (
            "a function over its type",
            "CREATE FUNCTION raw.g(raw.people) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        ("a child", "CREATE TABLE raw.c () INHERITS (raw.people)"),
        ("statistics", "CREATE STATISTICS raw.s ON id, name FROM raw.people"),
        ("an exclusion", "ALTER TABLE raw.people ADD EXCLUDE (id WITH =)"),
        ("a rule", "CREATE RULE r AS ON UPDATE TO raw.people DO ALSO NOTHING"),
        ("replica identity", "ALTER TABLE raw.people REPLICA IDENTITY FULL"),
        ("another owner", "ALTER TABLE raw.people OWNER TO other_owner"),
    ] {
        database.clear();
        if name == "another owner" {
            database.run("CREATE ROLE other_owner");
        }
        old_table(&database);
        database.run(dependent);
        let oid = database.query("SELECT 'raw.people'::regclass::oid");
        replace(&database, 0, &[(5, "new")]);
        assert_eq!(database.query("SELECT id, name FROM raw.people"), "5|new", "{name}");
        assert_eq!(database.query("SELECT 'raw.people'::regclass::oid"), oid, "{name}: not renamed");
        if name == "a view" {
            assert_eq!(database.query("SELECT * FROM raw.v"), "1");
        }
        if name == "another owner" {
            database.run("DROP OWNED BY other_owner; DROP ROLE other_owner");
        }
    }
}

#[test]
fn a_partitioned_table_is_replaced_through_its_parent() {
    let database = Database::new();
    database.run(
        "CREATE SCHEMA raw; CREATE TABLE raw.people (id int8 NOT NULL, name text) PARTITION BY RANGE (id); \
         CREATE TABLE raw.low PARTITION OF raw.people FOR VALUES FROM (0) TO (100); \
         CREATE TABLE raw.high PARTITION OF raw.people DEFAULT; INSERT INTO raw.people VALUES (1, 'old')",
    );
    replace(&database, 0, &[(5, "new"), (500, "new")]);
    assert_eq!(database.rows("raw.people"), ["(5,new)", "(500,new)"]);
    assert_eq!(database.rows("raw.high"), ["(500,new)"]);
}

#[test]
fn a_reader_that_does_not_let_go_stops_the_swap_not_the_data() {
    let database = Database::new();
    old_table(&database);
    let stream = people_stream(WriteMode::Replace);
    let host = TestHost::new();
    host.feed_batch(&people(&[(5, "new")]));
    host.feed_checkpoint(cursor(5));
    host.feed_end();
    let mut config = database.config();
    config["lock_wait_seconds"] = 1.into();
    block_on(async {
        let reader = Session::open(&database.server.options(&database.name)).await.unwrap();
        reader.execute("reading", "BEGIN; SELECT * FROM raw.people").await.unwrap();
        let mut session = host.destination::<DestPostgres>(config).await.unwrap();
        let error = session.run(RunRequest::write(stream.clone())).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("table_locked", true));
        assert_eq!(error.commit, Some(CommitState::BeforeCommit));
        reader.close().await;
    });
    assert_eq!(database.rows("raw.people"), OLD);
    let (result, _) = database.write_behind(1, &stream, |host| {
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), ["(5,new)"]);
}

#[test]
fn an_increment_cannot_replace_a_whole_table() {
    let database = Database::new();
    let mut increment = people_stream(WriteMode::Replace);
    increment.sync_mode = SyncMode::Incremental;
    let error = write_with(&TestHost::new(), database.config(), RunRequest::write(increment)).unwrap_err();
    assert_eq!(error.category, ErrorCategory::Config);
    assert!(error.message.contains("`replace`"), "{}", error.message);
}
