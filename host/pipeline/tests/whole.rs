//! The whole document of the specification, and what each part of it means.

use rapidbyte_core::error::ErrorCategory;
use rapidbyte_core::{
    DataErrorPolicy, NewColumnPolicy, NullabilityChangePolicy, RemovedColumnPolicy, SyncMode,
    TypeChangePolicy,
};
use rapidbyte_pipeline::{
    Backoff, DocumentErrors, Notify, OnViolation, OperationSpec, Parsed, ProjectSettings, RetryableError,
    StateBackend, Surroundings,
};
use serde_json::json;

const SPECIFICATION: &str = r#"
version: "1.0"
pipeline: stripe_to_postgres

source:
  use: rapidbyte/source-stripe@1.2.0        # registry package, installed name, ./path to a crate or .wasm, or oci://…
  config:
    api_key: ${STRIPE_API_KEY}              # environment
    start_date: "{{ (now() - days(3)) | date('%Y-%m-%dT%H:%M:%SZ') }}"   # Jinja-style: now, days, hours, minutes, date, env
  streams:
    - { name: invoices, sync_mode: incremental, cursor_field: created, columns: [id, amount_due, created] }
    - { name: customers, sync_mode: full_refresh }
    - { name: charges, sync_mode: incremental, cursor_field: created, filter: "amount_cents > 10000" }

transforms:
  - stream: invoices
    operations:
      - rename_column: { from: amount_due, to: amount_due_cents }
      - add_column: { name: amount_due_dollars, expression: "CAST(amount_due_cents AS DOUBLE) / 100.0" }
      - cast_column: { column: created, to: Timestamp }
      - filter: "amount_due_cents > 0"
      - drop_columns: [metadata]
  - use: transform-sql                      # or a transform connector
    config: { query: "SELECT id, lower(email) AS email FROM input" }

contracts:
  - stream: invoices
    required_columns: [{ name: id, type: Utf8, nullable: false }]
    column_rules:
      - { column: total_cents, check: "value >= 0", on_violation: drop_row }   # fail | warn | drop_row
    on_violation: fail
    notify: { slack_webhook: "${SLACK_WEBHOOK}" }

destination:
  use: rapidbyte/dest-postgres@1.0.5
  config: { host: "${PG_HOST}", port: 5432, user: "${PG_USER}", password: "${PG_PASSWORD}", database: analytics, schema: raw_stripe }
  write_mode: upsert                        # append | replace | upsert | merge
  primary_key: [id]
  schema_evolution:
    new_column: add                         # add | ignore | fail
    removed_column: ignore                  # ignore | drop | fail
    type_change: coerce                     # coerce | fail | ignore | null
    nullability_change: allow               # allow | fail
  on_data_error: dlq                        # fail | skip | dlq
  dlq_table: _rapidbyte_dlq

errors:
  retry: { max_attempts: 3, backoff: exponential, initial_delay: 1s, max_delay: 30s, jitter: true,
           retryable_errors: [connection_timeout, rate_limit, server_error] }
  on_error: dead_letter                     # skip_row | fail | dead_letter
  dead_letter: { destination: rapidbyte/dest-s3@1.0.0, config: { bucket: dlq, prefix: "dead-letter/${pipeline}/", format: parquet }, include_error: true }
  circuit_breaker: { error_threshold: 100, error_rate: 0.1, cooldown: 60s }

state: { backend: sqlite }                  # or { backend: postgres, connection: ${STATE_DATABASE_URL} }
resources: { max_memory: 256mb, max_batch_bytes: 64mb, parallelism: 4 }   # also checkpoint_interval_bytes | rows | seconds

hooks:
  on_success: [{ exec: "dbt build --select raw_stripe+" }]
  on_failure: [{ exec: "notify.sh" }]
  on_complete: [{ exec: "echo done" }]
"#;

const WEBHOOK: &str = "https://hooks.example/T0/B0/s3cr3t";

fn environment(name: &str) -> Option<String> {
    match name {
        "SLACK_WEBHOOK" => Some(WEBHOOK.to_owned()),
        "STATE_DATABASE_URL" => Some("postgres://u:hunter2@db/state".to_owned()),
        "NOWHERE" => None,
        _ => Some(format!("value-of-{name}")),
    }
}

fn parse(text: &str, settings: Option<&ProjectSettings>) -> Result<Parsed, DocumentErrors> {
    let now = "2026-03-01T12:34:56Z".parse().unwrap();
    let surroundings = Surroundings { environment: &environment, now, settings };
    rapidbyte_pipeline::parse(text, "pipeline.yaml", &surroundings)
}

#[track_caller]
fn read(text: &str) -> Parsed {
    let parsed = parse(text, None).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.warnings, [], "{text}");
    parsed
}

/// A small document with more at its end.
fn with(rest: &str) -> String {
    format!(
        "version: \"1.0\"\npipeline: shop\nsource: {{ use: ./s, streams: [{{ name: a }}, {{ name: b }}] }}\n\
         destination: {{ use: ./d, write_mode: replace }}\n{rest}"
    )
}

#[test]
fn the_specification_s_document() {
    let parsed = parse(SPECIFICATION, None).unwrap_or_else(|errors| panic!("{errors}"));
    // It names two places for dead letters.
    let codes: Vec<_> = parsed.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["two_places_for_dead_letters"]);
    let pipeline = &parsed.pipeline;
    let slice = |span| pipeline.file.slice(span);
    assert_eq!(pipeline.source.connector.config.to_json()["start_date"], "2026-02-26T12:34:56Z");
    assert_eq!(
        pipeline.listed_streams()[2].filter.as_deref().map(String::as_str),
        Some("amount_cents > 10000")
    );

    let operations = pipeline.transforms[0].operations();
    assert_eq!(operations.len(), 5);
    let OperationSpec::AddColumn { name, expression } = &operations[1].value else {
        panic!("{operations:?}")
    };
    assert_eq!(name.value, "amount_due_dollars");
    assert_eq!(slice(expression.span), "\"CAST(amount_due_cents AS DOUBLE) / 100.0\"");
    assert_eq!(operations[1].value.span_of("expression"), Some(expression.span));
    assert_eq!(operations[4].value.span_of("columns").map(slice), Some("metadata"));
    assert_eq!(operations[3].value.span_of("expression"), None);
    assert!(slice(operations[2].span).starts_with("cast_column: {"));
    assert_eq!(pipeline.transforms[1].connector().unwrap().location.text(), "transform-sql");
    assert!(pipeline.transforms[1].operations().is_empty());
    assert_eq!(pipeline.transforms_of("invoices").count(), 2);
    assert_eq!(pipeline.transforms_of("charges").count(), 1);

    let contract = pipeline.contracts_of("invoices").next().unwrap();
    assert_eq!(contract.required_columns[0].data_type.as_deref().map(String::as_str), Some("Utf8"));
    assert_eq!(contract.required_columns[0].nullable.map(|nullable| nullable.value), Some(false));
    assert_eq!(contract.column_rules[0].on_violation.value, OnViolation::DropRow);
    assert_eq!(contract.on_violation.value, OnViolation::Fail);
    assert!(matches!(&contract.notify, Some(Notify::SlackWebhook(url)) if url.expose() == WEBHOOK));

    for stream in pipeline.listed_streams() {
        assert_eq!(stream.policies, pipeline.destination.policies);
        assert_eq!(
            (stream.policies.on_data_error, stream.on_error),
            (DataErrorPolicy::Dlq, DataErrorPolicy::Dlq)
        );
    }
    assert_eq!(pipeline.destination.dlq_table.as_deref().map(String::as_str), Some("_rapidbyte_dlq"));

    let errors = &pipeline.errors;
    assert_eq!((errors.retry.max_attempts, errors.retry.backoff), (3, Backoff::Exponential));
    assert_eq!((errors.retry.initial_delay_ms, errors.retry.max_delay_ms), (1_000, 30_000));
    assert!(errors.retry.covers(ErrorCategory::TransientNetwork, "reset"));
    assert!(errors.retry.covers(ErrorCategory::RateLimit, "429"));
    assert!(!errors.retry.covers(ErrorCategory::Schema, "42703"));
    let breaker = errors.circuit_breaker.as_ref().unwrap();
    assert_eq!(
        (breaker.error_threshold, breaker.error_rate, breaker.cooldown_ms),
        (Some(100), Some(0.1), 60_000)
    );
    let letters = errors.dead_letter.as_ref().unwrap();
    assert_eq!(letters.connector.config.to_json()["prefix"], "dead-letter/stripe_to_postgres/");
    assert_eq!(letters.connector.place, "errors.dead_letter");

    assert_eq!(pipeline.hooks.on_success[0].exec.value, "dbt build --select raw_stripe+");
    assert_eq!(pipeline.hooks.on_complete[0].timeout_ms, 600_000);
    let named: Vec<_> = pipeline.connectors().map(|connector| connector.location.text()).collect();
    assert_eq!(
        named,
        [
            "rapidbyte/source-stripe@1.2.0",
            "transform-sql",
            "rapidbyte/dest-postgres@1.0.5",
            "rapidbyte/dest-s3@1.0.0"
        ]
    );
}

#[test]
fn nothing_secret_is_shown() {
    let text = with(
        "contracts: [{ stream: a, column_rules: [{ column: x, check: 'true' }], notify: { webhook: \"${SLACK_WEBHOOK}\" } }]\n\
         state: { backend: postgres, connection: \"${STATE_DATABASE_URL}\" }\n\
         hooks: { on_complete: [{ exec: \"curl -H ${TOKEN}\" }] }\n",
    );
    let parsed = read(&text);
    let shown = format!("{parsed:?} {}", serde_json::to_string(&parsed.pipeline.state).unwrap());
    let contracts = serde_json::to_string(&parsed.pipeline.contracts).unwrap();
    for text in [&shown, &contracts] {
        assert!(!text.contains("hunter2") && !text.contains("s3cr3t"), "{text}");
    }
    let hidden: Vec<_> = parsed.hidden.iter().map(|secret| secret.value.as_str()).collect();
    for secret in [WEBHOOK, "postgres://u:hunter2@db/state", "hunter2", "value-of-TOKEN"] {
        assert!(hidden.contains(&secret), "{secret} is not known as a secret");
    }
    assert_eq!(parsed.pipeline.state.backend.value, StateBackend::Postgres);
    assert_eq!(parsed.pipeline.state.connection.unwrap().expose(), "postgres://u:hunter2@db/state");
}

#[test]
fn values_of_expressions_are_secrets_where_they_are_the_environment_s() {
    let text = "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  config: { a: \"{{ env('TOKEN') }}\", b: \"{{ env('NOWHERE', 'plain') }}\", c: \"{{ 42 }}\" }\n\
                destination: { use: ./d, write_mode: append }\n";
    let parsed = read(text);
    let secrets: Vec<_> = parsed.secrets.iter().map(|secret| secret.value.as_str()).collect();
    assert_eq!(secrets, ["value-of-TOKEN"]);
    let json = serde_json::to_value(&parsed.pipeline.source.connector.config).unwrap();
    assert_eq!(json, json!({ "a": "***", "b": "plain", "c": "42" }));
    assert_eq!(parsed.pipeline.source.connector.config.to_json()["c"], "42", "in quotes it is a text");
}

#[test]
fn policies_go_from_the_destination_to_streams() {
    let text = "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  streams:\n    - { name: a }\n    \
                - { name: b, on_data_error: skip, schema_evolution: { new_column: fail, type_change: null } }\n\
                destination:\n  use: ./d\n  write_mode: replace\n  dlq_table: t\n  on_data_error: dlq\n  \
                schema_evolution: { new_column: ignore, removed_column: drop }\nerrors: { on_error: skip_row }\n";
    let pipeline = read(text).pipeline;
    let (a, b) = (&pipeline.listed_streams()[0], &pipeline.listed_streams()[1]);
    assert_eq!((a.policies.on_data_error, a.on_error), (DataErrorPolicy::Dlq, DataErrorPolicy::Skip));
    assert_eq!((b.policies.on_data_error, b.on_error), (DataErrorPolicy::Skip, DataErrorPolicy::Skip));
    assert_eq!(
        (a.policies.new_column, b.policies.new_column),
        (NewColumnPolicy::Ignore, NewColumnPolicy::Fail)
    );
    assert_eq!(b.policies.removed_column, RemovedColumnPolicy::Drop);
    assert_eq!(
        (a.policies.type_change, b.policies.type_change),
        (TypeChangePolicy::Coerce, TypeChangePolicy::Null)
    );
    assert_eq!(b.policies.nullability_change, NullabilityChangePolicy::Allow);

    let text = "version: \"1.0\"\npipeline: p\nsource: { use: ./s }\n\
                destination: { use: ./d, write_mode: replace, schema_evolution: { new_column: fail } }\n\
                errors: { on_error: dead_letter }\n";
    let stream = read(text).pipeline.stream("any").unwrap();
    assert_eq!(stream.policies.new_column, NewColumnPolicy::Fail);
    assert_eq!(
        (stream.policies.on_data_error, stream.on_error),
        (DataErrorPolicy::Dlq, DataErrorPolicy::Dlq)
    );
}

#[test]
fn dead_letters_are_opened_by_stream() {
    let text = with(
        "errors: { on_error: dead_letter, dead_letter: { destination: ./f, include_error: false,\n  \
         config: { path: \"${TOKEN}/${pipeline}/${stream}.jsonl\", list: [\"${stream}\"] } } }\n",
    );
    let letters = read(&text).pipeline.errors.dead_letter.unwrap();
    assert!(!letters.include_error);
    let of = |stream| letters.connector_for(stream).config.to_json();
    assert_eq!(of("a"), json!({ "path": "value-of-TOKEN/shop/a.jsonl", "list": ["a"] }));
    assert_eq!(of("b")["list"][0], "b");
    // Elsewhere, these are variables like others.
    let error = parse(&with("hooks: { on_success: [{ exec: \"${stream:?}\" }] }\n"), None).unwrap_err();
    assert_eq!(error.errors[0].code, "invalid_variable");
}

#[test]
fn a_place_for_dead_letters_that_gets_none_is_a_warning() {
    let parsed = parse(&with("errors: { dead_letter: { destination: ./f } }\n"), None).unwrap();
    let codes: Vec<_> = parsed.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["unused_dead_letter"]);
}

#[test]
fn retries_follow_what_is_stated() {
    let retry = |retry: &str| {
        parse(&with(&format!("errors: {{ retry: {{ {retry} }} }}\n")), None).unwrap().pipeline.errors.retry
    };
    assert_eq!(retry("initial_delay: 5m").max_delay_ms, 300_000);
    assert_eq!(retry("max_delay: 200ms").initial_delay_ms, 200);
    let kinds = retry("retryable_errors: [transient_db, rate-limit, \"40001\", deadlock]").retryable_errors;
    let kinds: Vec<_> = kinds.into_iter().map(|kind| kind.value).collect();
    assert_eq!(
        kinds,
        [
            RetryableError::Category(ErrorCategory::TransientDb),
            RetryableError::Category(ErrorCategory::RateLimit),
            RetryableError::Code("40001".into()),
            RetryableError::Code("deadlock".into()),
        ]
    );
    let parsed = parse(&with("errors: { retry: { retryable_errors: [rate_limits] } }\n"), None).unwrap();
    assert_eq!(parsed.warnings[0].code, "unknown_error_kind");
    assert_eq!(parsed.warnings[0].label, "did you mean `rate_limit`?");
}

#[test]
fn streams_of_the_log_and_in_ranges() {
    let text = "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  streams:\n    - { name: a, sync_mode: cdc }\n    \
                - { name: b, partition_key: id, partitions: 8 }\ndestination: { use: ./d, write_mode: upsert, primary_key: [id] }\n\
                cache: { path: copies }\n";
    let pipeline = read(text).pipeline;
    let (a, b) = (&pipeline.listed_streams()[0], &pipeline.listed_streams()[1]);
    assert_eq!((a.sync_mode.value, a.cursor.is_none()), (SyncMode::Cdc, true));
    assert_eq!(b.partition_key.as_deref().map(String::as_str), Some("id"));
    assert_eq!(b.partitions.map(|partitions| partitions.value), Some(8));
    assert!(pipeline.cache.enabled);
    assert!(!read(&with("cache: { enabled: false }\n")).pipeline.cache.enabled);
}

const SETTINGS: &str = r#"
pipelines = "flows"
[state]
backend = "postgres"
connection = "${STATE_DATABASE_URL}"
[resources]
max_memory = "128mb"
parallelism = 0x2
checkpoint_interval_seconds = 90
[run]
parallel = 3
"#;

fn settings(text: &str) -> Result<ProjectSettings, DocumentErrors> {
    ProjectSettings::parse(text, "rapidbyte.toml", std::path::Path::new("/work/shop"), &environment)
}

#[test]
fn settings_hold_where_the_document_says_nothing() {
    let settings = settings(SETTINGS).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((settings.pipelines.as_deref(), settings.parallel), (Some("flows"), Some(3)));
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(settings.hidden.iter().any(|secret| secret.value.contains("hunter2")));

    let pipeline = parse(&with(""), Some(&settings)).unwrap().pipeline;
    assert_eq!(pipeline.state.backend.value, StateBackend::Postgres);
    assert_eq!(*pipeline.resources.max_memory_bytes, 128 << 20);
    assert!(pipeline.resources.max_memory_bytes.is_stated());
    assert_eq!(
        (*pipeline.resources.parallelism, pipeline.resources.limits().checkpoint_interval_seconds),
        (2, 90)
    );

    // A stated key wins, and a stated state is whole.
    let text = with("resources: { parallelism: 7 }\nstate: { path: here.db }\n");
    let pipeline = parse(&text, Some(&settings)).unwrap().pipeline;
    assert_eq!((*pipeline.resources.parallelism, *pipeline.resources.max_memory_bytes), (7, 128 << 20));
    assert_eq!(pipeline.state.backend.value, StateBackend::Sqlite);
    assert!(pipeline.state.connection.is_none());

    // What does not fit together is said of the document, without a place in it.
    let error = parse(&with("resources: { max_batch_bytes: 64mb }\n"), Some(&settings)).unwrap_err();
    assert_eq!(error.errors[0].code, "batch_exceeds_memory");
    assert!(!error.render().contains("set here"), "{error}");
}

#[test]
fn settings_of_the_workspace_stand_over_those_of_the_user() {
    let project = settings("[state]\npath = \"state/shop.db\"\n[resources]\nparallelism = 2\n").unwrap();
    let text = "default-registry = \"x\"\n[resources]\nparallelism = 8\nmax_memory = \"1gb\"\n[run]\nparallel = 5\n[state]\npath = \"/all.db\"\n";
    let user =
        ProjectSettings::parse_shared(text, "config.toml", std::path::Path::new("/home"), &environment);
    let both = project.over(user.unwrap_or_else(|errors| panic!("{errors}")));
    let pipeline = parse(&with(""), Some(&both)).unwrap().pipeline;
    assert_eq!(pipeline.state.path.as_deref().map(String::as_str), Some("/work/shop/state/shop.db"));
    assert_eq!((*pipeline.resources.parallelism, *pipeline.resources.max_memory_bytes), (2, 1 << 30));
    assert_eq!(both.parallel, Some(5));
}

#[test]
fn settings_are_read_strictly() {
    for (text, code, part) in [
        ("[resource]\n", "unknown_key", "did you mean `resources`?"),
        ("[resources]\nmax_memry = \"1gb\"\n", "unknown_key", "rapidbyte.toml:2:1"),
        ("[resources]\nmax_memory = \"1kb\"\n", "out_of_range", "cannot be below 64mb"),
        ("[resources]\nparallelism = \"many\"\n", "wrong_type", "`parallelism` must be a whole number"),
        ("[state]\nbackend = \"postgres\"\n", "missing_key", "needs a `connection`"),
        ("[run]\nparallel = 0\n", "out_of_range", "`run.parallel` cannot be `0`"),
        ("[telemetry]\nsample = 1\n", "unknown_key", "belongs to `config.toml`"),
        ("[state]\nconnection = \"${NOWHERE}\"\n", "missing_variable", "rapidbyte.toml:2:15"),
        ("[registries.a]\nurl = \"x\"\n", "unknown_key", "belongs to `config.toml` in the user's folder"),
        ("state = 3\n", "wrong_type", "`state` must be a mapping"),
        ("[state\n", "invalid_toml", "rapidbyte.toml:1"),
        ("pipelines = \"{{ now() }}\"\n", "invalid_expression", "there is no time in this document"),
    ] {
        let error = settings(text).expect_err(text);
        assert_eq!(error.errors[0].code, code, "{error}");
        assert!(error.render().contains(part), "{error}");
    }
    assert!(settings("").unwrap().state.is_none());
}
