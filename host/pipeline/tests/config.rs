//! Connector configs against their schemas.

use rapidbyte_pipeline::{CheckedConfig, ConfigSchema, DocumentErrors, Surroundings, parse};
use serde_json::json;

const SCHEMA: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["host", "database", "password"],
  "properties": {
    "host": { "type": "string", "description": "Name or address of the server." },
    "port": { "type": "integer", "minimum": 1, "maximum": 65535, "default": 5432 },
    "database": { "type": "string", "minLength": 1 },
    "user": { "type": "string" },
    "password": { "type": "string", "x-rapidbyte-secret": true },
    "url": { "type": ["string", "null"] },
    "token": { "type": "string", "writeOnly": true, "format": "password" },
    "count": { "type": "integer", "minimum": 0, "maximum": 18446744073709551615 },
    "tls": { "type": "string", "enum": ["disable", "require", "verify_full"], "default": "require" },
    "schemas": { "type": "array", "items": { "type": "string" }, "maxItems": 3, "default": ["public"] },
    "headers": { "type": "object", "additionalProperties": { "type": "string", "x-rapidbyte-secret": true } },
    "pool": {
      "type": "object",
      "additionalProperties": false,
      "required": ["size"],
      "properties": { "size": { "type": "integer" }, "lazy": { "type": "boolean", "default": true } },
      "x-note": "somebody else's"
    },
    "ratio": { "type": "number" },
    "extra": {}
  }
}"##;

fn environment(name: &str) -> Option<String> {
    Some(match name {
        "PGHOST" => "db.example.com".to_owned(),
        "PGPORT" => "5433".to_owned(),
        "PGPASSWORD" => "hunter2-s3cr3t".to_owned(),
        "NUMERIC_PASSWORD" => "0012345".to_owned(),
        "HUGE_PASSWORD" => "99999999999999999999999".to_owned(),
        _ => return None,
    })
}

fn check(config: &str) -> Result<CheckedConfig, DocumentErrors> {
    check_by(SCHEMA, config)
}

fn check_by(schema: &str, config: &str) -> Result<CheckedConfig, DocumentErrors> {
    let indented = config.trim_end().replace('\n', "\n    ");
    let text = format!(
        "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  config:\n    {indented}\n\
         destination: {{ use: ./d, write_mode: append }}\n"
    );
    let pipeline = parse(&text, "p.yaml", &Surroundings::new(&environment, jiff::Timestamp::UNIX_EPOCH))
        .unwrap_or_else(|errors| panic!("{errors}"))
        .pipeline;
    let schema = ConfigSchema::from_json(schema, "schema").unwrap_or_else(|errors| panic!("{errors}"));
    let source = &pipeline.source.connector;
    source
        .config
        .check(&schema, &source.place)
        .map_err(|errors| DocumentErrors::new(pipeline.file.clone(), errors))
}

#[track_caller]
fn refused(config: &str, expected: &str) {
    let errors = check(config).expect_err("the config was accepted");
    let rendered = errors.render();
    assert!(!rendered.contains("s3cr3t") && !format!("{errors:?}").contains("s3cr3t"), "{rendered}");
    assert_eq!(rendered, expected.trim_start_matches('\n'), "\n{rendered}");
}

#[test]
fn a_good_config_is_typed_and_completed() {
    let checked = check(
        "host: ${PGHOST}\nport: ${PGPORT}\ndatabase: shop\npassword: ${NUMERIC_PASSWORD}\nurl:\nuser:\n\
         headers: { X-Key: literal-key }\npool: { size: 2 }\nextra: [1, { a: b }]\nratio: 1",
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        checked.value,
        json!({
            "host": "db.example.com", "port": 5433, "database": "shop", "password": "0012345", "url": null,
            "headers": { "X-Key": "literal-key" }, "pool": { "size": 2 }, "extra": [1, { "a": "b" }], "ratio": 1
        })
    );
    assert_eq!(checked.with_defaults["tls"], "require");
    assert_eq!(checked.with_defaults["schemas"], json!(["public"]));
    assert_eq!(checked.with_defaults["pool"], json!({ "size": 2, "lazy": true }));
    assert_eq!(checked.with_defaults["port"], 5433);
    assert_eq!(checked.secrets, ["0012345", "literal-key"]);
    assert_eq!(checked.secret_pointers, ["/password", "/headers/X-Key"]);
    assert_eq!(checked.masked["password"], "***");
    assert_eq!(checked.masked["headers"]["X-Key"], "***");
    assert_eq!(checked.masked["host"], "db.example.com");
    assert!(!format!("{checked:?}").contains("0012345"));
}

#[test]
fn values_of_the_environment_are_secret_unless_the_schema_knows_better() {
    let checked = check(
        "host: ${PGHOST}\ndatabase: d\npassword: literal\ntoken: t0ken\ncount: 18446744073709551615\nurl: pg://u:${PGPASSWORD}@h\nextra: ${HUGE_PASSWORD}",
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    // `host` is described and not secret; a part of a longer text and a free-form value are.
    assert_eq!(checked.secrets, ["literal", "t0ken", "hunter2-s3cr3t", "99999999999999999999999"]);
    assert_eq!(checked.masked["url"], "***");
    assert_eq!(checked.value["extra"], "99999999999999999999999");
}

#[test]
fn every_mistake_is_named_at_its_place() {
    refused(
        "hostt: a\nport: 70000\npassword: 12345\ntls: requires\nschemas: [a, 1, b, c]\npool: { lazy: maybe }\nratio: a\ncount: -1",
        r#"
error[missing_key]: the config of `source` lacks `host`
 --> p.yaml:5:3
  |
5 |   config:
  |   ^^^^^^
  = help: `host`: Name or address of the server.

error[missing_key]: the config of `source` lacks `database`
 --> p.yaml:5:3
  |
5 |   config:
  |   ^^^^^^

error[unknown_key]: unknown key `hostt` in the config of `source`
 --> p.yaml:6:5
  |
6 |     hostt: a
  |     ^^^^^ did you mean `host`?

error[out_of_range]: `port` is out of range
 --> p.yaml:7:11
  |
7 |     port: 70000
  |           ^^^^^
  = help: it must be between 1 and 65535

error[wrong_type]: `password` must be a text, not what is written
 --> p.yaml:8:15
  |
8 |     password: 12345
  |               ^^^^^
  = help: put it in quotes to make it a text

error[invalid_value]: `tls` cannot be the text `requires`
 --> p.yaml:9:10
  |
9 |     tls: requires
  |          ^^^^^^^^ did you mean `require`?
  = help: it can be `disable`, `require` or `verify_full`

error[out_of_range]: `schemas` must have at most 3 items
  --> p.yaml:10:14
   |
10 |     schemas: [a, 1, b, c]
   |              ^^^^^^^^^^^^

error[wrong_type]: an item of `schemas` must be a text, not the integer `1`
  --> p.yaml:10:18
   |
10 |     schemas: [a, 1, b, c]
   |                  ^
   = help: put it in quotes to make it a text

error[missing_key]: `pool` lacks `size`
  --> p.yaml:11:5
   |
11 |     pool: { lazy: maybe }
   |     ^^^^

error[wrong_type]: `lazy` must be `true` or `false`, not the text `maybe`
  --> p.yaml:11:19
   |
11 |     pool: { lazy: maybe }
   |                   ^^^^^

error[wrong_type]: `ratio` must be a number, not the text `a`
  --> p.yaml:12:12
   |
12 |     ratio: a
   |            ^

error[out_of_range]: `count` is out of range
  --> p.yaml:13:12
   |
13 |     count: -1
   |            ^^
   = help: it must be between 0 and 18446744073709551615
"#,
    );
}

#[test]
fn values_of_the_environment_are_not_shown() {
    refused(
        "host: h\ndatabase:\npassword: [\"${PGPASSWORD}\"]\nport: ${PGPASSWORD}\ntls: ${PGPASSWORD}\npool: ${PGPASSWORD}\nratio: \"${PGPORT}\"",
        r#"
error[missing_value]: `database` has no value
 --> p.yaml:7:5
  |
7 |     database:
  |     ^^^^^^^^

error[wrong_type]: `password` must be a text, not a list
 --> p.yaml:8:5
  |
8 |     password: ["${PGPASSWORD}"]
  |     ^^^^^^^^

error[wrong_type]: `port` must be a whole number, not the value of `${PGPASSWORD}`
 --> p.yaml:9:11
  |
9 |     port: ${PGPASSWORD}
  |           ^^^^^^^^^^^^^

error[invalid_value]: `tls` cannot be the value of `${PGPASSWORD}`
  --> p.yaml:10:10
   |
10 |     tls: ${PGPASSWORD}
   |          ^^^^^^^^^^^^^
   = help: it can be `disable`, `require` or `verify_full`

error[wrong_type]: `pool` must be a mapping, not the value of `${PGPASSWORD}`
  --> p.yaml:11:11
   |
11 |     pool: ${PGPASSWORD}
   |           ^^^^^^^^^^^^^

error[wrong_type]: `ratio` must be a number, not the value of `${PGPORT}`
  --> p.yaml:12:12
   |
12 |     ratio: "${PGPORT}"
   |            ^^^^^^^^^^^
   = help: remove the quotes: what is quoted is a text
"#,
    );
}

#[test]
fn a_missing_config_is_missing_at_use() {
    let text = "version: \"1.0\"\npipeline: p\nsource: { use: ./s }\ndestination: { use: ./d, write_mode: append }\n";
    let pipeline = parse(text, "p.yaml", &Surroundings::new(&environment, jiff::Timestamp::UNIX_EPOCH))
        .unwrap()
        .pipeline;
    let schema = ConfigSchema::from_json(SCHEMA, "schema").unwrap();
    let errors = pipeline.source.connector.config.check(&schema, "source").unwrap_err();
    assert!(errors.iter().all(|error| pipeline.file.slice(error.span) == "use"), "{errors:?}");
    assert!(pipeline.source.connector.config.check(&ConfigSchema::empty(), "source").is_ok());
}

#[test]
fn a_connector_without_config_refuses_every_key() {
    let errors = check_by(&ConfigSchema::empty().as_json().to_string(), "a: 1").unwrap_err();
    assert_eq!(errors.errors[0].code, "unknown_key");
    assert_eq!(errors.errors[0].help.as_deref(), Some("the config of `source` may have nothing"));
}

#[test]
fn schemas_of_strangers_are_checked() {
    for (schema, code) in [
        ("{", "invalid_json"),
        ("[]", "wrong_type"),
        (r#"{"type":"string"}"#, "invalid_schema"),
        (r#"{"type":"object","type":"object"}"#, "invalid_json"),
        (r##"{"$ref":"#/a"}"##, "unknown_key"),
        (r#"{"properties":{"a":{"pattern":"(a+)+$"}}}"#, "unknown_key"),
        (r#"{"properties":[]}"#, "invalid_schema"),
        (r#"{"properties":{"a":{"minimum":"x"}}}"#, "invalid_schema"),
        (r#"{} {}"#, "invalid_json"),
    ] {
        let errors = ConfigSchema::from_json(schema, "component").expect_err(schema);
        assert_eq!(errors.errors[0].code, code, "{errors}");
        assert!(errors.render().contains("component"));
    }
    let deep = format!("{}{}", "{\"items\":".repeat(5000), "}".repeat(5000));
    assert_eq!(ConfigSchema::from_json(&deep, "c").unwrap_err().errors[0].code, "invalid_json");
    let long = format!("{{\"description\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(ConfigSchema::from_json(&long, "c").unwrap_err().errors[0].code, "document_too_large");
}
