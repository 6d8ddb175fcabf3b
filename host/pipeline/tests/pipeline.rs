//! Good documents and what they mean.

use rapidbyte_core::{SyncMode, WriteMode};
use rapidbyte_pipeline::{
    ConnectorLocation, DocumentErrors, Located, Parsed, Pipeline, StateBackend, Streams, Surroundings,
    decode, render,
};
use serde_json::json;

/// Documents as of one afternoon.
fn parse(
    text: &str,
    name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Parsed, DocumentErrors> {
    let now = "2026-03-01T12:34:56Z".parse().unwrap();
    rapidbyte_pipeline::parse(text, name, &Surroundings::new(environment, now))
}

const HEAD: &str = "version: \"1.0\"\npipeline: shop\n";

fn environment(name: &str) -> Option<String> {
    Some(match name {
        "PGHOST" => "db.example.com".to_owned(),
        "PGPORT" => "5433".to_owned(),
        "PGPASSWORD" => "0012345".to_owned(),
        "STREAM" => "orders".to_owned(),
        "YES" => "true".to_owned(),
        "EMPTY" => String::new(),
        "TRICKY" => "a: [b, {c: \"${PGHOST}\n- x".to_owned(),
        _ => return None,
    })
}

#[track_caller]
fn read(text: &str) -> Parsed {
    parse(text, "pipeline.yaml", &environment).unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn read_clean(text: &str) -> Pipeline {
    let parsed = read(text);
    assert_eq!(parsed.warnings, [], "{text}");
    parsed.pipeline
}

#[test]
fn a_whole_document() {
    let pipeline = read_clean(
        r#"
version: "1.0"
pipeline: shop_to_warehouse

source:
  use: ../connectors/source-postgres
  config: { host: "${PGHOST}", port: ${PGPORT}, password: "${PGPASSWORD}", schemas: [public] }
  streams:
    - { name: orders, sync_mode: incremental, cursor_field: updated_at, tie_breaker: id, columns: [id, total, updated_at], write_mode: append }
    - { name: customers, sync_mode: incremental, cursor_field: seq, tie_breaker: [a, b] }
    - { name: stock, sync_mode: full_refresh, write_mode: replace }
    - { name: prices, write_mode: merge, primary_key: [sku], update_columns: [price] }

transforms:
  - use: ./mask.wasm
    stream: customers
    config: { columns: [email] }
  - use: /opt/transform-upper

destination:
  use: ./dest-postgres
  config: { host: localhost, database: warehouse }
  write_mode: upsert
  primary_key: [id]

state: { backend: sqlite, path: state/shop.db }
resources:
  max_memory: 256mb
  max_batch_bytes: 16MiB
  max_record_bytes: 8mb
  parallelism: 2
  checkpoint_interval_bytes: 32mb
  checkpoint_interval_rows: 500
  checkpoint_interval_seconds: 5m
"#,
    );
    assert_eq!(*pipeline.name, "shop_to_warehouse");
    assert_eq!(
        *pipeline.source.connector.location,
        ConnectorLocation::Crate("../connectors/source-postgres".into())
    );
    assert_eq!(
        pipeline.source.connector.config.to_json(),
        json!({ "host": "db.example.com", "port": 5433, "password": "0012345", "schemas": ["public"] })
    );

    let streams = pipeline.listed_streams();
    let plans: Vec<_> =
        streams.iter().map(|stream| (stream.name.as_str(), *stream.sync_mode, stream.write.plan())).collect();
    let summary: Vec<_> = plans
        .iter()
        .map(|(name, sync, plan)| {
            (*name, *sync, plan.mode, plan.primary_key.join(","), plan.update_columns.join(","))
        })
        .collect();
    let text = String::from;
    assert_eq!(
        summary,
        [
            ("orders", SyncMode::Incremental, WriteMode::Append, text(""), text("")),
            ("customers", SyncMode::Incremental, WriteMode::Upsert, text("id"), text("")),
            ("stock", SyncMode::FullRefresh, WriteMode::Replace, text(""), text("")),
            ("prices", SyncMode::FullRefresh, WriteMode::Merge, text("sku"), text("price")),
        ]
    );
    let cursor = streams[0].cursor.as_ref().unwrap().spec();
    assert_eq!((cursor.field.as_str(), cursor.tie_breaker.join(",")), ("updated_at", text("id")));
    assert_eq!(streams[1].cursor.as_ref().unwrap().spec().tie_breaker, ["a", "b"]);
    assert_eq!(streams[0].column_names(), ["id", "total", "updated_at"]);
    assert!(streams[1].column_names().is_empty());
    assert_eq!(
        pipeline.file.slice(streams[0].span),
        &pipeline.file.text[streams[0].span.start as usize..streams[0].span.end as usize]
    );
    assert!(pipeline.file.slice(streams[0].span).starts_with("name: orders"));
    assert!(pipeline.file.slice(streams[0].write.mode.span) == "append");

    let passed = |stream| {
        pipeline.transforms_of(stream).map(|t| t.connector().unwrap().location.text()).collect::<Vec<_>>()
    };
    assert_eq!(passed("customers"), ["./mask.wasm", "/opt/transform-upper"]);
    assert_eq!(passed("orders"), ["/opt/transform-upper"]);
    assert_eq!(
        *pipeline.transforms[0].connector().unwrap().location,
        ConnectorLocation::Wasm("./mask.wasm".into())
    );
    assert_eq!(pipeline.transforms[1].connector().unwrap().config.to_json(), json!({}));

    assert_eq!(*pipeline.state.backend, StateBackend::Sqlite);
    assert_eq!(**pipeline.state.path.as_ref().unwrap(), "state/shop.db");
    let limits = pipeline.resources.limits();
    assert_eq!(*pipeline.resources.max_memory_bytes, 256 << 20);
    assert_eq!((limits.max_batch_bytes, limits.max_record_bytes), (16 << 20, 8 << 20));
    assert_eq!((limits.checkpoint_interval_bytes, limits.checkpoint_interval_rows), (32 << 20, 500));
    assert_eq!(limits.checkpoint_interval_seconds, 300);
    assert_eq!(*pipeline.resources.parallelism, 2);
}

#[test]
fn the_smallest_document_takes_every_stream() {
    let pipeline = read_clean(&format!(
        "{HEAD}source: {{ use: ./s }}\ndestination: {{ use: ./d, write_mode: upsert, primary_key: [id] }}\n"
    ));
    assert!(matches!(pipeline.source.streams, Streams::All { .. }));
    let stream = pipeline.stream("anything").unwrap();
    assert_eq!(*stream.sync_mode, SyncMode::FullRefresh);
    assert_eq!(stream.write.plan().primary_key, ["id"]);
    assert_eq!(*pipeline.resources.max_memory_bytes, rapidbyte_core::limits::MEMORY_BYTES_DEFAULT);
    assert!(!pipeline.resources.max_memory_bytes.is_stated());
    assert_eq!(pipeline.resources.limits().max_batch_bytes, rapidbyte_core::limits::BATCH_BYTES_DEFAULT);

    let said = read_clean(&format!(
        "{HEAD}source: {{ use: ./s, streams: all }}\ndestination: {{ use: ./d, write_mode: replace }}\n"
    ));
    assert!(matches!(said.source.streams, Streams::All { .. }));
    assert!(said.stream("x").is_some());
}

#[test]
fn a_listed_pipeline_has_no_other_stream() {
    let pipeline = read_clean(&format!(
        "{HEAD}source: {{ use: ./s, streams: [{{ name: a }}] }}\ndestination: {{ use: ./d, write_mode: replace }}\n"
    ));
    assert!(pipeline.stream("a").is_some());
    assert!(pipeline.stream("b").is_none());
}

#[test]
fn limits_follow_what_is_stated() {
    let of = |resources: &str| {
        read_clean(&format!(
            "{HEAD}source: {{ use: ./s }}\ndestination: {{ use: ./d, write_mode: append }}\nresources: {{ {resources} }}\n"
        ))
        .resources
        .limits()
    };
    // The example of the specification.
    assert_eq!(of("max_memory: 256mb, max_batch_bytes: 64mb, parallelism: 4").max_batch_bytes, 64 << 20);
    assert_eq!(of("max_memory: 64mb").max_batch_bytes, 8 << 20);
    assert_eq!(of("max_memory: 1gb").max_batch_bytes, 64 << 20);
    let limits = of("max_batch_bytes: 1mb");
    assert!(limits.max_record_bytes < limits.max_batch_bytes);
    assert_eq!(of("checkpoint_interval_seconds: 90").checkpoint_interval_seconds, 90);
    assert_eq!(of("max_batch_bytes: 1048576").max_batch_bytes, 1 << 20);
}

#[test]
fn the_environment_is_text_and_never_syntax() {
    let config = |config: &str| {
        let parsed = read(&format!(
            "{HEAD}source: {{ use: ./s }}\ndestination:\n  use: ./d\n  write_mode: append\n  config:\n    {config}\n"
        ));
        parsed.pipeline.destination.connector.config.to_json()
    };
    assert_eq!(config("port: ${PGPORT}"), json!({ "port": 5433 }));
    assert_eq!(config("port: \"${PGPORT}\""), json!({ "port": "5433" }));
    assert_eq!(config("on: ${YES}"), json!({ "on": true }));
    assert_eq!(config("none: ${EMPTY}"), json!({ "none": "" }));
    assert_eq!(config("at: ${NOT_SET:-7}"), json!({ "at": 7 }));
    assert_eq!(
        config("url: postgres://${PGHOST}:${PGPORT}/x"),
        json!({ "url": "postgres://db.example.com:5433/x" })
    );
    // Braces of variables do not end the braces around them.
    assert_eq!(
        config("in: { a: ${PGPORT}, b: [${PGHOST}, x-${NOT_SET:-y}, $${PGHOST}], c: \"${PGPORT}\" }"),
        json!({ "in": { "a": 5433, "b": ["db.example.com", "x-y", "${PGHOST}"], "c": "5433" } })
    );
    assert_eq!(config("literal: $${PGHOST} $5"), json!({ "literal": "${PGHOST} $5" }));
    assert_eq!(config("tricky: ${TRICKY}"), json!({ "tricky": "a: [b, {c: \"${PGHOST}\n- x" }));
    assert_eq!(config("\"${PGHOST}\": key"), json!({ "${PGHOST}": "key" }));
}

#[test]
fn only_configs_give_secrets_and_no_form_shows_them() {
    let parsed = read(&format!(
        "{HEAD}source:\n  use: ./s\n  config: {{ password: \"${{PGPASSWORD}}\", list: [{{ deep: x-${{PGPASSWORD}} }}], plain: shown }}\n  \
         streams: [{{ name: \"${{STREAM}}\" }}]\ndestination: {{ use: ./d, write_mode: replace }}\n"
    ));
    let secrets: Vec<_> =
        parsed.secrets.iter().map(|secret| (secret.variable.as_str(), secret.value.as_str())).collect();
    assert_eq!(secrets, [("PGPASSWORD", "0012345")]);
    assert_eq!(*parsed.pipeline.listed_streams()[0].name, "orders");
    assert!(!format!("{parsed:?}").contains("0012345"));
    let json = serde_json::to_value(&parsed.pipeline).unwrap();
    assert_eq!(
        json["source"]["config"],
        json!({ "password": "***", "list": [{ "deep": "***" }], "plain": "shown" })
    );
    assert_eq!(json["source"]["streams"][0]["name"], "orders");
    assert_eq!(json["source"]["streams"][0]["write_mode"], "replace");
    assert_eq!(json["source"]["use"], "./s");
    assert_eq!(json["pipeline"], "shop");
}

#[test]
fn anchors_aliases_and_merges() {
    let pipeline = read_clean(&format!(
        "{HEAD}source:\n  use: ./s\n  config: &config {{ host: a, options: {{ x: 1, y: 2 }} }}\n  streams:\n    \
         - &base {{ name: orders, sync_mode: incremental, cursor_field: id }}\n    \
         - {{ <<: *base, name: items }}\n    - {{ <<: [{{ name: other, cursor_field: at }}, *base] }}\n\
         destination: {{ use: ./d, write_mode: append, config: {{ <<: *config, host: b }} }}\n"
    ));
    let streams = pipeline.listed_streams();
    let seen: Vec<_> =
        streams.iter().map(|s| (s.name.as_str(), s.cursor.as_ref().unwrap().field.as_str())).collect();
    assert_eq!(seen, [("orders", "id"), ("items", "id"), ("other", "at")]);
    assert_eq!(
        pipeline.destination.connector.config.to_json(),
        json!({ "host": "b", "options": { "x": 1, "y": 2 } })
    );
}

#[test]
fn scalars_are_typed_as_yaml_1_2_says() {
    let parsed = read(&format!(
        "{HEAD}source: {{ use: ./s }}\ndestination:\n  use: ./d\n  write_mode: append\n  config:\n    \
         ints: [0, -1, +7, 0x1F, 0o17, 007, 18446744073709551615]\n    floats: [1.5, -2e3, .5, 1., 1e-2]\n    \
         texts: [no, yes, on, 1.2.3, 12abc, 1e, ., '', \"5\", 0x, 2020-01-01, 1_000, +, !!str 5, ! 6]\n    \
         bools: [true, False, TRUE]\n    nothing: [~, null, NULL, !!null '']\n    block: |\n      a\n        b\n    \
         folded: >-\n      a\n      b\n"
    ));
    let config = parsed.pipeline.destination.connector.config.to_json();
    assert_eq!(config["ints"], json!([0, -1, 7, 31, 15, 7, 18446744073709551615u64]));
    assert_eq!(config["floats"], json!([1.5, -2000.0, 0.5, 1.0, 0.01]));
    assert_eq!(
        config["texts"],
        json!([
            "no",
            "yes",
            "on",
            "1.2.3",
            "12abc",
            "1e",
            ".",
            "",
            "5",
            "0x",
            "2020-01-01",
            "1_000",
            "+",
            "5",
            "6"
        ])
    );
    assert_eq!(config["bools"], json!([true, false, true]));
    assert_eq!(config["nothing"], json!([null, null, null, null]));
    assert_eq!(config["block"], "a\n  b\n");
    assert_eq!(config["folded"], "a b");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let parsed = read(&format!(
        "{HEAD}source:\n  use: ./s\n  streams:\n    - {{ name: orders }}\n    - {{ name: items, primary_key: [id] }}\n\
         destination: {{ use: ./d }}\n"
    ));
    let mut out = String::new();
    for warning in &parsed.warnings {
        render::render(&parsed.pipeline.file, warning, &render::plain, &mut out);
    }
    assert_eq!(
        out,
        "\
warning[repeated_append]: each run appends stream `orders` again as a whole
 --> pipeline.yaml:6:15
  |
6 |     - { name: orders }
  |               ^^^^^^
  = help: say `write_mode: replace` or `upsert`; or `write_mode: append` if this is meant
warning[unused_primary_key]: `primary_key` has no effect with the write mode `append`
 --> pipeline.yaml:7:22
  |
7 |     - { name: items, primary_key: [id] }
  |                      ^^^^^^^^^^^
  = help: a key is used by `upsert` and `merge`
warning[repeated_append]: each run appends stream `items` again as a whole
 --> pipeline.yaml:7:15
  |
7 |     - { name: items, primary_key: [id] }
  |               ^^^^^
  = help: say `write_mode: replace` or `upsert`; or `write_mode: append` if this is meant
"
    );
    let located = Located { file: &parsed.pipeline.file, diagnostic: &parsed.warnings[0] };
    assert_eq!(
        serde_json::to_value(located).unwrap(),
        json!({
            "severity": "warning", "code": "repeated_append",
            "message": "each run appends stream `orders` again as a whole",
            "file": "pipeline.yaml", "line": 6, "column": 15, "end_line": 6, "end_column": 21, "label": null,
            "help": "say `write_mode: replace` or `upsert`; or `write_mode: append` if this is meant",
        })
    );
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    assert_eq!(decode("ä: ö".as_bytes(), "p.yaml").unwrap(), "ä: ö");
    let error = decode(b"version: \"1.0\"\npipeline: caf\xe9\n", "p.yaml").unwrap_err();
    assert_eq!(
        error.render(),
        "\
error[invalid_utf8]: the file is not UTF-8 text: the byte 0xe9 does not belong here
 --> p.yaml:2:14
  |
2 | pipeline: caf
  |              ^
  = help: save the file as UTF-8
"
    );
    assert!(decode(b"\xff\xfev\0", "p.yaml").unwrap_err().render().contains("UTF-16"));
}

#[test]
fn a_byte_order_mark_is_not_text() {
    read_clean(&format!(
        "\u{feff}{HEAD}source: {{ use: ./s }}\ndestination: {{ use: ./d, write_mode: append }}\n"
    ));
}

#[test]
fn colour_is_added_from_outside() {
    let errors = parse("pipeline: [", "p.yaml", &environment).unwrap_err();
    let coloured = errors.render_with(&|part, text, out| {
        out.push_str(&format!("<{part:?}>{text}</>"));
    });
    assert!(coloured.starts_with("<Error>error[invalid_yaml]</><Message>: "), "{coloured}");
    let mut stripped = coloured.replace("</>", "");
    for part in ["Error", "Message", "Gutter", "Plain", "Help", "Related", "Warning"] {
        stripped = stripped.replace(&format!("<{part}>"), "");
    }
    assert_eq!(stripped, errors.render());
}

/// What the repository itself ships must be readable.
#[test]
fn examples_are_good_documents() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut folders = vec![root];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let name = path.display().to_string();
                // Variables may be anything; they need only be set.
                if let Err(errors) = parse(&text, &name, &|_| Some("1".to_owned())) {
                    panic!("{errors}");
                }
                read += 1;
            }
        }
    }
    assert!(read > 0, "no example was found");
}

#[test]
fn what_is_no_path_names_a_package() {
    let location = |named: &str| {
        let text =
            format!("{HEAD}source: {{ use: '{named}' }}\ndestination: {{ use: ./d, write_mode: append }}\n");
        read_clean(&text).source.connector.location.value
    };
    for package in [
        "source-jira",
        "acme/source-jira@^1.2",
        "oci://registry.example/acme/source-jira",
        "source-jira@>=1, <3",
    ] {
        assert_eq!(location(package), ConnectorLocation::Package(package.to_owned()));
    }
    assert_eq!(location("./source-jira"), ConnectorLocation::Crate("./source-jira".to_owned()));
    assert_eq!(location("../source_jira.wasm"), ConnectorLocation::Wasm("../source_jira.wasm".to_owned()));
}
