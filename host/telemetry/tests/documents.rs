//! What people read about metrics, held against what is exported.

use std::collections::BTreeSet;
use std::path::Path;

use rapidbyte_telemetry::metrics::{Kind, METRICS, Metric};
use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_table_of_metrics_is_the_code() {
    let page = read("docs/observability.md");
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| `rapidbyte.")).collect();
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            format!(
                "| `{}` | {} | `{}` | {} | {} |",
                metric.name,
                metric.kind.as_str(),
                metric.unit,
                metric.attributes.join(", "),
                metric.description
            )
        })
        .collect();
    assert_eq!(table, expected);
}

/// What a collector's Prometheus exporter makes of a name: words joined by underscores, the unit and the kind behind it.
fn in_prometheus(metric: &Metric) -> String {
    let name = metric.name.replace('.', "_");
    let unit = match metric.unit {
        "ms" => "milliseconds",
        "By" => "bytes",
        // Units in braces are for people.
        _ => "",
    };
    // A unit that the name has already, as a word of its own, is not said twice.
    let name = if unit.is_empty() || name.split('_').any(|word| word == unit) {
        name
    } else {
        format!("{name}_{unit}")
    };
    if metric.kind == Kind::Counter { format!("{name}_total") } else { name }
}

/// The metrics that a query names, without the suffixes of a histogram's parts, and the attributes it uses.
fn names(query: &str) -> BTreeSet<String> {
    let words = query.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    let metrics = words.filter(|word| word.starts_with("rapidbyte_"));
    metrics.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        found.push(text.clone());
                    }
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_every_metric_and_for_nothing_else() {
    let dashboard: Value = serde_json::from_str(&read("docs/grafana/rapidbyte.json")).unwrap();
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    let exported: BTreeSet<String> = METRICS.iter().map(in_prometheus).collect();
    let asked: BTreeSet<String> = found.iter().flat_map(|query| names(query)).collect();
    assert_eq!(asked, exported);

    // Whatever a query groups or filters by, the metric has.
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for query in targets.map(|target| target["expr"].as_str().unwrap()) {
        let asked = names(query);
        let metric = METRICS.iter().find(|metric| asked.contains(&in_prometheus(metric))).unwrap();
        let by = query.split("by (").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default();
        for label in by.split(", ").filter(|label| !["", "le", "job"].contains(label)) {
            assert!(metric.attributes.contains(&label), "`{label}` in {query}");
        }
        for filter in query.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            for label in filter.split(',').filter_map(|pair| pair.split("=~").next()) {
                assert!(metric.attributes.contains(&label), "`{label}` in {query}");
            }
        }
    }
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}
