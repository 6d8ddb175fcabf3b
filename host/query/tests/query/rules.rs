//! Rules over the values of columns.

use arrow_array::{Array, Int64Array, StringArray};
use rapidbyte_core::ErrorCategory;
use rapidbyte_core::sql::{Rule, SqlPlanner, SqlProblem};
use rapidbyte_query::Planner;

use crate::support::*;

fn rule(column: &str, check: &str) -> Rule {
    Rule { column: column.to_owned(), check: check.to_owned() }
}

fn violations(rules: &[Rule]) -> Vec<Vec<usize>> {
    let planned = Planner.rules(&orders_schema(), rules).unwrap_or_else(|it| panic!("{it:?}"));
    let masks = planned.violations(&orders()).unwrap();
    masks
        .iter()
        .map(|mask| {
            assert_eq!(mask.null_count(), 0);
            (0..mask.len()).filter(|row| mask.value(*row)).collect()
        })
        .collect()
}

#[test]
fn false_violates_and_null_holds() {
    let rules = [
        rule("amount", "value > 20"),
        rule("email", "value LIKE '%@X.org'"),
        rule("id", "value <> 2"),
        rule("email", "value IS NOT NULL"),
        rule("paid", "value"),
        rule("created", "VALUE >= TIMESTAMP '1970-01-03'"),
        rule("id", "value BETWEEN 2 AND 3 OR value IN (1)"),
        rule("Key", "value IS NOT NULL"),
    ];
    assert_eq!(violations(&rules), [vec![0], vec![], vec![1], vec![2], vec![0], vec![0], vec![3], vec![2]]);
    assert!(violations(&[]).is_empty());
}

fn refused(rule: Rule) -> SqlProblem {
    match Planner.rules(&orders_schema(), &[self::rule("id", "value > 0"), rule]) {
        Ok(_) => panic!("planned"),
        Err(problem) => problem,
    }
}

#[test]
fn mistakes_point_at_the_rule() {
    for (rule, key, code, hint) in [
        (rule("emial", "value > 0"), "column", "unknown_column", "did you mean `email`?"),
        (rule("amount", "amount > 0"), "check", "unknown_column", "`value > 0`"),
        (rule("amount", "id > 0"), "check", "unknown_column", "`value >= 0`"),
        (rule("amount", "value"), "check", "not_boolean", "column > 0"),
        (rule("amount", "value >"), "check", "sql_syntax", ""),
        (rule("amount", "true"), "check", "rule_constant", "value >= 0"),
        (rule("amount", "value > avg(value)"), "check", "sql_aggregate", ""),
        (rule("amount", "value > random()"), "check", "sql_nondeterministic", ""),
    ] {
        let problem = refused(rule.clone());
        assert_eq!((problem.index, problem.key, problem.code), (1, Some(key), code), "{rule:?}: {problem:?}");
        assert!(problem.hint.clone().unwrap_or_default().contains(hint), "{rule:?}: {problem:?}");
    }
}

#[test]
fn a_value_that_a_check_cannot_take_is_a_data_error() {
    let texts = column("text", StringArray::from(vec!["1", "x"]));
    let planned = Planner.rules(&texts.schema(), &[rule("text", "CAST(value AS INT) > 0")]).unwrap();
    let error = planned.violations(&texts).unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "cast_failed"));
    assert!(error.message.contains("column `text`"), "{error}");
    let other = column("text", Int64Array::from(vec![1]));
    assert_eq!(planned.violations(&other).unwrap_err().category, ErrorCategory::Schema);
}
