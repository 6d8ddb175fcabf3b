//! What the planner makes of differences that a table's catalog entry describes.

use super::*;
use crate::catalog::Dependent;

fn name(text: &str) -> TypeName {
    TypeName::parse(text).unwrap_or_else(|| panic!("{text}"))
}

/// A column of a stream.
fn incoming(column: &str, type_name: &str) -> Column {
    let schema =
        arrow_schema::Schema::new(vec![arrow_schema::Field::new(column, arrow_schema::DataType::Utf8, true)]);
    let mut columns = crate::column::columns("s", &schema, "raw").unwrap();
    let mut incoming = columns.remove(0);
    incoming.type_name = name(type_name);
    incoming
}

fn own(column: &str, type_name: &str) -> TableColumn {
    TableColumn {
        name: column.to_owned(),
        type_text: type_name.to_owned(),
        type_name: Some(name(type_name)),
        ..TableColumn::default()
    }
}

fn table(columns: Vec<TableColumn>) -> Table {
    Table { oid: 1, kind: "r".to_owned(), owned: true, parent: None, columns, keys: vec![] }
}

/// What a pipeline gets that says nothing.
const USUAL: Policies = Policies {
    on_data_error: DataErrorPolicy::Fail,
    new_column: NewColumnPolicy::Add,
    removed_column: RemovedColumnPolicy::Ignore,
    type_change: TypeChangePolicy::Coerce,
    nullability_change: NullabilityChangePolicy::Allow,
};

fn actions(plan: &Plan) -> Vec<(String, Action)> {
    plan.changes.iter().map(|change| (change.column.clone(), change.action)).collect()
}

#[test]
fn everything_refused_is_named_at_once_and_nothing_is_altered() {
    let table = table(vec![own("id", "integer"), own("gone", "text")]);
    let stream = [incoming("id", "bigint"), incoming("new", "text")];
    let plan = plan(&stream, &[], &table, &Policies::default(), "table t").unwrap();
    let error = plan.refusal("table t").unwrap();
    for part in ["lacks `new`", "lacks `gone`", "`id` (`bigint` in the stream", "`new_column`"] {
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    assert_eq!(plan.alter_sql(&QualifiedName::new("raw", "t")), None);
}

#[test]
fn what_the_usual_policies_do_is_one_statement() {
    let mut table = table(vec![own("id", "integer"), own("gone", "text"), own("name", "text")]);
    table.columns[1].not_null = true;
    let stream = [incoming("id", "bigint"), incoming("new", "date"), incoming("name", "integer")];
    let plan = plan(&stream, &[], &table, &USUAL, "table t").unwrap();
    assert_eq!(
        plan.alter_sql(&QualifiedName::new("raw", "t")).as_deref(),
        Some(
            "ALTER TABLE \"raw\".\"t\" ALTER COLUMN \"id\" TYPE bigint USING \"id\"::bigint, ADD COLUMN \"new\" date, \
             ALTER COLUMN \"gone\" DROP NOT NULL"
        )
    );
    assert_eq!(plan.columns[2].conversion.as_ref().unwrap().sql, "\"name\"::text");
}

#[test]
fn what_cannot_be_altered_is_refused_by_what_forbids_it() {
    let view = Dependent { name: "view raw.v".to_owned(), rebuilt: false };
    let index = Dependent { name: "index raw.i".to_owned(), rebuilt: true };
    let stream = [incoming("id", "bigint")];
    let refused = |change: &dyn Fn(&mut Table), policies: &Policies| {
        let mut table = table(vec![own("id", "integer"), own("gone", "text")]);
        change(&mut table);
        let plan = plan(&stream, &[], &table, policies, "table t").unwrap();
        plan.refusal("table t").map(|error| error.message).unwrap_or_default()
    };
    let dropping = Policies { removed_column: RemovedColumnPolicy::Drop, ..USUAL };
    assert_eq!(refused(&|_| (), &dropping), "");
    let of = |dependent: &Dependent| vec![dependent.clone()];
    assert!(refused(&|t| t.columns[0].dependents = of(&view), &USUAL).contains("view raw.v"));
    assert_eq!(refused(&|t| t.columns[0].dependents = of(&index), &USUAL), "");
    assert!(refused(&|t| t.columns[1].dependents = of(&index), &dropping).contains("index raw.i"));
    assert!(refused(&|t| t.columns[0].partitioning = true, &USUAL).contains("partitioned by it"));
    assert!(refused(&|t| t.parent = Some("table raw.p".into()), &USUAL).contains("table raw.p"));
    assert!(refused(&|t| t.owned = false, &USUAL).contains("owner"));
    let identifying = |t: &mut Table| {
        t.columns[1].not_null = true;
        t.columns[1].identifying = true;
    };
    assert!(refused(&identifying, &USUAL).contains("`gone`"));
}

#[test]
fn parts_of_a_key_are_widened_and_converted_but_never_left_out() {
    let key = ["id".to_owned()];
    let with = |own_type: &str, type_change| {
        let table = table(vec![own("id", own_type), own("n", "text")]);
        let policies = Policies { type_change, ..USUAL };
        let stream = [incoming("id", "text"), incoming("n", "text")];
        plan(&stream, &key, &table, &policies, "table t").unwrap()
    };
    assert_eq!(actions(&with("integer", TypeChangePolicy::Coerce)), [("id".to_owned(), Action::Convert)]);
    let wider = with("character varying(3)", TypeChangePolicy::Coerce);
    assert_eq!(actions(&wider), [("id".to_owned(), Action::Widen)]);
    for policy in [TypeChangePolicy::Ignore, TypeChangePolicy::Null] {
        assert!(with("integer", policy).refusal("t").unwrap().message.contains("part of"), "{policy:?}");
    }
    let missing = table(vec![own("n", "text")]);
    for new_column in [NewColumnPolicy::Add, NewColumnPolicy::Ignore] {
        let policies = Policies { new_column, ..USUAL };
        let stream = [incoming("id", "text"), incoming("n", "text")];
        let plan = plan(&stream, &key, &missing, &policies, "table t").unwrap();
        assert!(plan.refusal("t").unwrap().message.contains("part of the key"));
    }
}

#[test]
fn what_the_table_fills_itself_is_never_taken_for_removed() {
    let mut table = table(vec![own("id", "text"), own("loaded_at", "timestamp with time zone")]);
    table.columns[1].filled = true;
    table.columns[1].not_null = true;
    for removed_column in [RemovedColumnPolicy::Fail, RemovedColumnPolicy::Drop, RemovedColumnPolicy::Ignore]
    {
        let policies = Policies { removed_column, ..USUAL };
        let plan = plan(&[incoming("id", "text")], &[], &table, &policies, "table t").unwrap();
        assert_eq!(plan.changes, []);
    }
}

#[test]
fn an_enum_may_have_more_labels_but_not_fewer_or_others() {
    let stream = Enumeration { name: "mood".into(), labels: vec!["sad".into(), "ok".into()] };
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
    assert_eq!(label_difference(&stream, &labels(&["sad", "ok"])), None);
    assert_eq!(label_difference(&stream, &labels(&["sad", "meh", "ok", "glad"])), None);
    assert!(label_difference(&stream, &labels(&["sad"])).unwrap().contains("lacks the label `ok`"));
    assert!(label_difference(&stream, &labels(&["ok", "sad"])).unwrap().contains("order"));
}
