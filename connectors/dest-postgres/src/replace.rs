//! `replace`: the new table is built aside, over several checkpoints if need be, and takes the old one's place in the
//! transaction of the last.
//!
//! Two ways lead there. Where nothing but grants, indexes, constraints and comments hangs on the old table, the staging
//! table gets these too and is renamed: the old one is locked for the moment of the renaming only. Where more hangs on
//! it (views, foreign keys, triggers, policies, publications, sequences, another owner …), the table stays and its rows
//! are deleted and inserted anew: readers see the old rows until the commit, whatever depends on the table never notices.
//! What is asked here is whether anything is there that renaming would lose; in doubt the rows go the long way.

use std::time::Duration;

use rapidbyte_postgres::Session;
use rapidbyte_postgres::identifier::{QualifiedName, quote, quote_literal};
use rapidbyte_sdk::prelude::*;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::catalog::{self, Table, get, query, scalar};
use crate::column::Column;
use crate::evolve::{self, Change, Plan};
use crate::load::names;
use crate::names::Task;
use crate::staging::like_sql;

/// One attempt to get the exclusive lock: new readers queue behind it for so long.
const SWAP_LOCK_ATTEMPT: Duration = Duration::from_secs(1);
const SWAP_LOCK_PAUSE: Duration = Duration::from_millis(200);

/// What the stream brings, and how it may change a table.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The columns as they come.
    pub stream: &'a [Column],
    pub policies: &'a Policies,
    /// The columns as they are staged.
    pub staged: &'a [Column],
}

/// What became of a replace.
#[derive(Debug, Default)]
pub struct Swapped {
    /// Why the rows had to be moved, if they had to.
    pub obstacle: Option<String>,
    /// How the new table differs from the old one.
    pub altered: Vec<Change>,
}

/// Puts the staged rows in the place of the table's, within the open transaction.
pub async fn swap(
    session: &Session,
    task: &Task,
    incoming: &Incoming<'_>,
    lock_wait: Duration,
) -> Result<Swapped, ConnectorError> {
    let staging = task.staging();
    let Some(table) = catalog::table(session, &task.table).await? else {
        rename(session, &staging, &task.table, None).await?;
        return Ok(Swapped::default());
    };
    let what = format!("table {}", task.table);
    let plan = evolve::plan(incoming.stream, &[], &table, incoming.policies, &what)?;
    if let Some(refusal) = plan.refusal(&what) {
        return Err(refusal);
    }
    if let Some(obstacle) = obstacle(session, task, &table, &plan).await? {
        move_rows(session, task, incoming.staged, &plan, lock_wait).await?;
        return Ok(Swapped { obstacle: Some(obstacle), altered: plan.alterations() });
    }
    let Some(indexes) = indexes(session, &table).await? else {
        move_rows(session, task, incoming.staged, &plan, lock_wait).await?;
        let obstacle = Some("it has indexes whose definition cannot be taken over".to_owned());
        return Ok(Swapped { obstacle, altered: plan.alterations() });
    };
    build_indexes(session, task, &indexes).await?;
    lock_exclusively(session, task, lock_wait, "replaced").await?;
    // What the decision rests on may have changed before the lock was there.
    let changed = obstacle(session, task, &table, &plan).await?.is_some()
        || self::indexes(session, &table).await?.as_ref() != Some(&indexes)
        || catalog::table(session, &task.table).await?.is_none_or(|now| now.oid != table.oid);
    if changed {
        return Err(ConnectorError::transient_db(
            "table_changed",
            format!("table {} was altered while it was being replaced", task.table),
        ));
    }
    let mut after: Vec<String> = rows_of_text(session, GRANTS, &table, &staging, &task.table).await?;
    for (number, index) in indexes.iter().enumerate() {
        after.push(index.adopt_sql(task, number));
    }
    let comment: Option<String> = scalar(
        session,
        "reading the table's comment",
        "SELECT obj_description($1, 'pg_class')",
        &[(&table.oid, Type::OID)],
    )
    .await?;
    session.execute("dropping the old table", &format!("DROP TABLE {}", task.table)).await?;
    rename(session, &staging, &task.table, comment.as_deref()).await?;
    if !after.is_empty() {
        session.execute("giving the new table the old one's grants and keys", &after.join("; ")).await?;
    }
    Ok(Swapped { obstacle: None, altered: plan.alterations() })
}

async fn rename(
    session: &Session,
    from: &QualifiedName,
    to: &QualifiedName,
    comment: Option<&str>,
) -> Result<(), ConnectorError> {
    let comment = comment.map_or_else(|| "NULL".to_owned(), quote_literal);
    let sql =
        format!("COMMENT ON TABLE {from} IS {comment}; ALTER TABLE {from} RENAME TO {}", quote(&to.name));
    session.execute("putting the new table in place", &sql).await
}

async fn move_rows(
    session: &Session,
    task: &Task,
    columns: &[Column],
    plan: &Plan,
    lock_wait: Duration,
) -> Result<(), ConnectorError> {
    let (staging, table, list) = (task.staging(), &task.table, names(columns));
    // Altered before any row is touched: pending triggers would forbid it afterwards.
    let alter = match plan.alter_sql(table) {
        Some(sql) => {
            lock_exclusively(session, task, lock_wait, "altered").await?;
            format!("{sql}; ")
        }
        None => String::new(),
    };
    let sql = format!(
        "SET LOCAL lock_timeout = {}; LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE; SET LOCAL lock_timeout = 0; \
         {alter}DELETE FROM {table}; \
         INSERT INTO {table} ({list}) OVERRIDING SYSTEM VALUE SELECT {list} FROM {staging}; DROP TABLE {staging}",
        lock_wait.as_millis()
    );
    session.execute("replacing the table's rows", &sql).await
}

/// Locks the table against readers. Never waits long at a time: readers that come while the lock is waited for would
/// wait behind it.
pub async fn lock_exclusively(
    session: &Session,
    task: &Task,
    wait: Duration,
    to_be: &str,
) -> Result<(), ConnectorError> {
    let started = tokio::time::Instant::now();
    let sql = format!(
        "SAVEPOINT swap; SET LOCAL lock_timeout = {}; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
        SWAP_LOCK_ATTEMPT.as_millis(),
        task.table
    );
    loop {
        match session.client().batch_execute(&sql).await {
            Ok(()) => {
                return session
                    .execute("keeping the lock", "SET LOCAL lock_timeout = 0; RELEASE SAVEPOINT swap")
                    .await;
            }
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                session.execute("giving readers way", "ROLLBACK TO SAVEPOINT swap").await?;
                if started.elapsed() >= wait {
                    return Err(ConnectorError::transient_db(
                        "table_locked",
                        format!(
                            "table {} could not be {to_be}: others have been using it for {} s without a pause",
                            task.table,
                            wait.as_secs()
                        ),
                    )
                    .with_backoff(BackoffClass::Slow));
                }
                tokio::time::sleep(SWAP_LOCK_PAUSE).await;
            }
            Err(error) => return Err(session.error("locking the old table", &error)),
        }
    }
}

/// An index of the old table that the new one is to have.
#[derive(Debug, PartialEq)]
struct Index {
    name: String,
    unique: bool,
    /// Each row is judged as it comes.
    immediate: bool,
    /// Method, columns and the rest, as `pg_get_indexdef` writes them behind `USING`.
    definition: String,
    /// `p` or `u` and the constraint's name, where the index is one's.
    constraint: Option<(String, String)>,
}

impl Index {
    fn create_sql(&self, task: &Task, number: usize) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        format!(
            "CREATE {unique}INDEX {} ON {} USING {}",
            quote(&task.staging_index(number)),
            task.staging(),
            self.definition
        )
    }

    /// Gives it its name, or makes it the constraint's, which renames it too.
    fn adopt_sql(&self, task: &Task, number: usize) -> String {
        let staged = quote(&task.staging_index(number));
        match &self.constraint {
            Some((kind, name)) => {
                let kind = if kind == "p" { "PRIMARY KEY" } else { "UNIQUE" };
                format!(
                    "ALTER TABLE {} ADD CONSTRAINT {} {kind} USING INDEX {staged}",
                    task.table,
                    quote(name)
                )
            }
            None => {
                let schema = quote(&task.table.schema);
                format!("ALTER INDEX {schema}.{staged} RENAME TO {}", quote(&self.name))
            }
        }
    }
}

/// SQL that builds the unique indexes before the first row comes, so that each row that breaks one is refused by itself.
pub async fn unique_indexes_sql(
    session: &Session,
    task: &Task,
    table: &Table,
) -> Result<String, ConnectorError> {
    let Some(indexes) = indexes(session, table).await? else {
        return Ok(String::new());
    };
    let early = indexes.iter().enumerate().filter(|(_, index)| index.unique && index.immediate);
    Ok(early.map(|(number, index)| format!("; {}", index.create_sql(task, number))).collect())
}

/// Builds what indexes of the old table the staging table does not have yet.
async fn build_indexes(session: &Session, task: &Task, wanted: &[Index]) -> Result<(), ConnectorError> {
    let doing = "building an index of the new table";
    let there = match catalog::table(session, &task.staging()).await? {
        Some(staged) => indexes(session, &staged).await?.unwrap_or_default(),
        None => Vec::new(),
    };
    for (number, index) in wanted.iter().enumerate() {
        let name = task.staging_index(number);
        match there.iter().find(|early| early.name == name) {
            Some(early) if (early.unique, &early.definition) == (index.unique, &index.definition) => continue,
            // The old table's indexes have changed since.
            Some(_) => {
                let outdated = QualifiedName::new(&task.table.schema, &name);
                session.execute(doing, &format!("DROP INDEX {outdated}")).await?;
            }
            None => {}
        }
        session.execute(doing, &index.create_sql(task, number)).await?;
    }
    Ok(())
}

/// None: a definition is not written as expected.
async fn indexes(session: &Session, table: &Table) -> Result<Option<Vec<Index>>, ConnectorError> {
    let doing = "reading the table's indexes";
    let mut indexes = Vec::new();
    for row in query(session, doing, INDEXES, &[(&table.oid, Type::OID)]).await? {
        if !get::<bool>(&row, 5)? {
            return Ok(None);
        }
        let kind: Option<String> = get(&row, 3)?;
        let name: Option<String> = get(&row, 4)?;
        indexes.push(Index {
            name: get(&row, 0)?,
            unique: get(&row, 1)?,
            definition: get(&row, 2)?,
            immediate: get(&row, 6)?,
            constraint: kind.zip(name),
        });
    }
    Ok(Some(indexes))
}

/// What renaming would lose, if anything.
async fn obstacle(
    session: &Session,
    task: &Task,
    table: &Table,
    plan: &Plan,
) -> Result<Option<String>, ConnectorError> {
    let doing = "looking at what depends on the table";
    let found: Option<String> = scalar(session, doing, OBSTACLE, &[(&table.oid, Type::OID)]).await?;
    if found.is_some() {
        return Ok(found);
    }
    let staging = task.staging();
    let staged = catalog::table(session, &staging).await?;
    let staged = staged.ok_or_else(|| {
        ConnectorError::internal("table_vanished", format!("table {staging} is gone, the replace cannot end"))
    })?;
    let new: String = scalar(session, doing, SHAPE, &[(&staged.oid, Type::OID)]).await?;
    let old = expected_shape(session, task, table, plan).await?;
    Ok((old != new).then(|| "its columns, defaults or checks are not those of the stream alone".to_owned()))
}

/// What the table would look like, altered as planned: the server's own word on an empty copy of it.
async fn expected_shape(
    session: &Session,
    task: &Task,
    table: &Table,
    plan: &Plan,
) -> Result<String, ConnectorError> {
    let doing = "looking at the table's columns";
    let probe = task.probe();
    let Some(alter) = plan.alter_sql(&probe) else {
        return scalar(session, doing, SHAPE, &[(&table.oid, Type::OID)]).await;
    };
    session.execute(doing, &format!("{}; {alter}", like_sql(&probe, &task.table))).await?;
    let oid = catalog::table(session, &probe).await?.map(|probe| probe.oid);
    let shape: String = scalar(session, doing, SHAPE, &[(&oid, Type::OID)]).await?;
    session.execute(doing, &format!("DROP TABLE {probe}")).await?;
    Ok(shape)
}

async fn rows_of_text(
    session: &Session,
    sql: &str,
    table: &Table,
    staging: &QualifiedName,
    target: &QualifiedName,
) -> Result<Vec<String>, ConnectorError> {
    let (staging, target) = (staging.to_string(), target.to_string());
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&table.oid, Type::OID), (&staging, Type::TEXT), (&target, Type::TEXT)];
    query(session, "reading the table's grants", sql, &parameters)
        .await?
        .iter()
        .map(|row| get(row, 0))
        .collect()
}

/// Statements that leave the new table with the old one's grants and no others.
const GRANTS: &str = "\
    WITH old AS (SELECT relacl AS acl, relowner AS owner FROM pg_class WHERE oid = $1), \
         new AS (SELECT relacl AS acl FROM pg_class WHERE oid = $2::text::regclass), \
         who AS (SELECT 0 AS step, g.grantee, NULL::text AS privilege, false AS grantable \
                 FROM (SELECT DISTINCT a.grantee FROM new, aclexplode(new.acl) a) AS g \
                 WHERE (SELECT acl FROM old) IS DISTINCT FROM (SELECT acl FROM new) \
                 UNION ALL \
                 SELECT 1, a.grantee, a.privilege_type, a.is_grantable \
                 FROM old, aclexplode(coalesce(old.acl, acldefault('r', old.owner))) a \
                 WHERE (SELECT acl FROM old) IS DISTINCT FROM (SELECT acl FROM new)) \
    SELECT CASE step WHEN 0 THEN format('REVOKE ALL ON TABLE %s FROM %s', $3::text, name) \
        ELSE format('GRANT %s ON TABLE %s TO %s%s', privilege, $3::text, name, \
            CASE WHEN grantable THEN ' WITH GRANT OPTION' ELSE '' END) END \
    FROM who, LATERAL (SELECT CASE grantee WHEN 0 THEN 'PUBLIC' \
        ELSE quote_ident(pg_get_userbyid(grantee)) END AS name) AS named \
    ORDER BY step";

const INDEXES: &str = "\
    SELECT ic.relname::text, i.indisunique, \
        substr(pg_get_indexdef(i.indexrelid), length(prefix) + 1), con.contype::text, con.conname::text, \
        starts_with(pg_get_indexdef(i.indexrelid), prefix), i.indimmediate AND i.indisvalid \
    FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid \
        JOIN pg_namespace n ON n.oid = c.relnamespace \
        LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.contype IN ('p', 'u'), \
        LATERAL (SELECT format('CREATE %sINDEX %I ON %I.%I USING ', \
            CASE WHEN i.indisunique THEN 'UNIQUE ' END, ic.relname, n.nspname, c.relname) AS prefix) AS p \
    WHERE i.indrelid = $1 ORDER BY i.indexrelid";

/// Columns with type, NOT NULL, collation, generation and default; then the checks.
const SHAPE: &str = "\
    SELECT coalesce((SELECT string_agg(ROW(a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
            a.attcollation, a.attgenerated, pg_get_expr(d.adbin, d.adrelid))::text, ',' ORDER BY a.attnum) \
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped), '') || ';' \
    || coalesce((SELECT string_agg(ROW(conname, pg_get_constraintdef(oid))::text, ',' ORDER BY conname) \
        FROM pg_constraint WHERE conrelid = $1 AND contype = 'c'), '')";

const OBSTACLE: &str = "\
    SELECT CASE \
    WHEN c.relkind <> 'r' OR c.relispartition OR c.reloftype <> 0 \
        OR EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) \
        THEN 'it is part of a hierarchy of tables' \
    WHEN c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN 'another role owns it' \
    WHEN c.relpersistence <> 'p' OR c.reltablespace <> 0 OR c.reloptions IS NOT NULL OR c.relreplident <> 'd' \
        OR c.relam <> (SELECT oid FROM pg_am WHERE amname = current_setting('default_table_access_method')) \
        OR EXISTS (SELECT FROM pg_class t WHERE t.oid = c.reltoastrelid AND t.reloptions IS NOT NULL) \
        THEN 'it has storage settings of its own' \
    WHEN c.relrowsecurity OR c.relforcerowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) \
        THEN 'it has row security' \
    WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid) THEN 'it has triggers or foreign keys' \
    WHEN EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) THEN 'it has rules' \
    WHEN EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = c.oid) THEN 'it is published' \
    WHEN EXISTS (SELECT FROM pg_statistic_ext WHERE stxrelid = c.oid) THEN 'it has extended statistics' \
    WHEN EXISTS (SELECT FROM pg_seclabel WHERE objoid = c.oid AND classoid = 'pg_class'::regclass) \
        THEN 'it has security labels' \
    WHEN EXISTS (SELECT FROM aclexplode(c.relacl) WHERE grantor <> c.relowner) \
        THEN 'others have granted rights on it' \
    WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped \
            AND (attacl IS NOT NULL OR attoptions IS NOT NULL OR attidentity <> '' OR attstattarget > 0)) \
        THEN 'it has columns with grants, options or identities of their own' \
    WHEN EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND (contype NOT IN ('p', 'u', 'c', 'n') \
            OR condeferrable OR NOT convalidated OR connoinherit AND contype = 'c')) \
        THEN 'it has constraints that cannot be built aside' \
    WHEN EXISTS (SELECT FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid \
            AND (NOT i.indisvalid OR i.indisclustered OR i.indisreplident OR i.indisexclusion \
                OR NOT i.indimmediate OR ic.reltablespace <> 0 \
                OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = ic.oid AND a.attstattarget > 0) \
                OR EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'n' AND d.refobjid = ic.oid \
                    AND d.refclassid = 'pg_class'::regclass) \
                OR obj_description(ic.oid, 'pg_class') IS NOT NULL)) \
        THEN 'it has indexes that cannot be built aside' \
    WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u') \
            AND (obj_description(k.oid, 'pg_constraint') IS NOT NULL OR EXISTS (SELECT FROM pg_depend d \
                WHERE d.deptype = 'n' AND d.refobjid = k.oid AND d.refclassid = 'pg_constraint'::regclass))) \
        THEN 'something depends on its keys' \
    WHEN EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid \
            AND (d.deptype IN ('n', 'e', 'x') OR d.deptype = 'a' AND d.classid = 'pg_class'::regclass \
                AND EXISTS (SELECT FROM pg_class s WHERE s.oid = d.objid AND s.relkind = 'S')) \
            AND NOT (d.classid = 'pg_constraint'::regclass \
                AND EXISTS (SELECT FROM pg_constraint k WHERE k.oid = d.objid AND k.conrelid = c.oid)) \
            AND NOT (d.classid = 'pg_attrdef'::regclass \
                AND EXISTS (SELECT FROM pg_attrdef k WHERE k.oid = d.objid AND k.adrelid = c.oid))) \
        OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
            AND d.deptype IN ('e', 'x')) \
        OR EXISTS (SELECT FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid \
            WHERE d.refclassid = 'pg_type'::regclass AND d.deptype IN ('n', 'e', 'x') \
            AND (t.oid = c.reltype OR t.typelem = c.reltype AND t.typcategory = 'A')) \
        THEN 'views, functions or other objects depend on it' \
    END FROM pg_class c WHERE c.oid = $1";
