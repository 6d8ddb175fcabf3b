//! JSON Schema (draft 2020-12) of the pipeline document, made of the tables that the reader takes its keys from. It is for
//! editors: it says of shapes what a schema can say, and leaves what is impossible together to `rapidbyte check`.

use serde_json::{Map, Value, json};

use crate::document::VERSION;
use crate::format::{DOCUMENT, Key, SETTINGS, Shape, Table, Together};
use crate::limits::PIPELINE_NAME_BYTES_MAX;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a pipeline document.
pub fn json_schema() -> Value {
    schema_of(&DOCUMENT, "Rapidbyte pipeline")
}

/// The schema of `rapidbyte.toml`.
pub fn settings_json_schema() -> Value {
    schema_of(&SETTINGS, "Rapidbyte settings")
}

fn schema_of(root: &'static Table, title: &str) -> Value {
    let mut tables = Vec::new();
    Shape::Map(root).tables(&mut tables);
    let mut definitions: Map<String, Value> = tables
        .iter()
        .filter(|table| !std::ptr::eq(**table, root))
        .map(|table| (table.name.to_owned(), mapping(table)))
        .collect();
    definitions.insert(
        "filled".to_owned(),
        json!({
            "description": "A text with `${NAME}` or `{{ ... }}` in it, of which the environment makes something else.",
            "type": "string",
            "pattern": "\\$\\{|\\{\\{",
        }),
    );
    let mut schema = match mapping(root) {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    schema.insert("$schema".to_owned(), DRAFT.into());
    schema.insert("title".to_owned(), title.into());
    schema.insert("$defs".to_owned(), definitions.into());
    schema.into()
}

fn mapping(table: &Table) -> Value {
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("description".to_owned(), table.about.into());
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("additionalProperties".to_owned(), false.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    match table.together {
        Together::Any => {}
        Together::One => {
            schema.insert("minProperties".to_owned(), 1.into());
            schema.insert("maxProperties".to_owned(), 1.into());
        }
        Together::AtLeastOne(keys) => {
            let any: Vec<Value> = keys.iter().map(|key| json!({ "required": [key] })).collect();
            schema.insert("anyOf".to_owned(), any.into());
        }
        Together::Either { this, that, that_excludes } => {
            let neither = json!({ "anyOf": [{ "required": [this] }, { "required": [that_excludes] }] });
            let either = json!([
                { "required": [this], "not": { "required": [that] } },
                { "required": [that], "not": neither },
            ]);
            schema.insert("oneOf".to_owned(), either);
        }
    }
    schema.into()
}

fn property(key: &Key) -> Value {
    let mut choices = shapes(key.shape);
    if key.may_be_empty {
        choices.push(json!({ "type": "null" }));
    }
    let mut schema = match <[Value; 1]>::try_from(choices) {
        Ok([Value::Object(only)]) => only,
        Ok([other]) => Map::from_iter([("allOf".to_owned(), json!([other]))]),
        Err(several) => Map::from_iter([("anyOf".to_owned(), several.into())]),
    };
    schema.insert("description".to_owned(), key.about.into());
    schema.into()
}

fn one(shape: Shape) -> Value {
    match <[Value; 1]>::try_from(shapes(shape)) {
        Ok([only]) => only,
        Err(several) => json!({ "anyOf": several }),
    }
}

/// The forms that a value may have.
fn shapes(shape: Shape) -> Vec<Value> {
    let filled = || json!({ "$ref": "#/$defs/filled" });
    match shape {
        Shape::Version => {
            // `1.0` without quotes is a number to YAML and means the same.
            let number: f64 = VERSION.parse().unwrap_or_default();
            vec![json!({ "enum": [VERSION, number] })]
        }
        Shape::PipelineName => vec![
            json!({
                "type": "string",
                "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
                "maxLength": PIPELINE_NAME_BYTES_MAX,
            }),
            filled(),
        ],
        // What is filled in is a text, too.
        Shape::Text => vec![json!({ "type": "string", "minLength": 1 })],
        // To YAML, `null` without quotes is one.
        Shape::Words(words) if words.contains(&"null") => {
            vec![json!({ "enum": words }), json!({ "type": "null" }), filled()]
        }
        Shape::Words(words) => vec![json!({ "enum": words }), filled()],
        Shape::Boolean => vec![json!({ "type": "boolean" }), filled()],
        Shape::Integer { min, max: u64::MAX } => {
            vec![json!({ "type": "integer", "minimum": min }), filled()]
        }
        Shape::Integer { min, max } => {
            vec![json!({ "type": "integer", "minimum": min, "maximum": max }), filled()]
        }
        Shape::Fraction => {
            vec![json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }), filled()]
        }
        Shape::Size => {
            const SIZE: &str = "^\\s*[0-9][0-9_]*(\\.[0-9]+)?\\s*([kKmMgGtT]([iI]?[bB])?|[bB])?\\s*$";
            vec![
                json!({ "type": "string", "pattern": SIZE, "examples": ["64mb"] }),
                json!({ "type": "integer", "minimum": 0 }),
                filled(),
            ]
        }
        Shape::Duration => {
            vec![json!({ "type": "string", "pattern": DURATION, "examples": ["30s"] }), filled()]
        }
        Shape::Seconds => vec![
            json!({ "type": "integer", "minimum": 1 }),
            json!({ "type": "string", "pattern": DURATION, "examples": ["5m"] }),
            json!({ "type": "string", "pattern": "^[0-9]+$" }),
            filled(),
        ],
        Shape::Names => vec![names()],
        Shape::NameOrNames => vec![json!({ "type": "string", "minLength": 1 }), names()],
        Shape::Config => vec![json!({ "type": "object" })],
        Shape::Map(table) => vec![json!({ "$ref": format!("#/$defs/{}", table.name) })],
        Shape::List { of, may_be_empty } => vec![list(*of, may_be_empty)],
        Shape::AllOr(of) => vec![json!({ "const": "all" }), list(*of, false)],
    }
}

const DURATION: &str = "^\\s*([0-9][0-9_]*(\\.[0-9]+)?\\s*(ms|s|min|m|h|d)\\s*)+$";

fn names() -> Value {
    json!({
        "type": "array",
        "items": { "type": "string", "minLength": 1 },
        "minItems": 1,
        "uniqueItems": true,
    })
}

fn list(of: Shape, may_be_empty: bool) -> Value {
    json!({ "type": "array", "items": one(of), "minItems": usize::from(!may_be_empty) })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use rapidbyte_core::contract::{
        DataErrorPolicy, NewColumnPolicy, NullabilityChangePolicy, RemovedColumnPolicy, SyncMode,
        TypeChangePolicy, WriteMode,
    };

    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::document::{Surroundings, parse};
    use crate::format::{EVOLUTION, STREAM};
    use crate::limits::DOCUMENT_BYTES_MAX;
    use crate::yaml;

    fn validator() -> jsonschema::Validator {
        jsonschema::draft202012::new(&json_schema()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The document as an editor has it: nothing put in.
    fn tree(text: &str) -> Value {
        let mut problems = Vec::new();
        let file = Arc::new(SourceFile::new("p.yaml", text));
        let node = yaml::read(&file, DOCUMENT_BYTES_MAX, "", &mut problems);
        assert_eq!(problems, [], "{text}");
        node.expect("a tree").to_json()
    }

    fn is_read(text: &str) -> bool {
        let variable =
            |name: &str| Some(if name.ends_with("WEBHOOK") { "https://h.example" } else { "1" }.to_owned());
        let now = "2026-03-01T12:34:56Z".parse().expect("a time");
        parse(text, "p.yaml", &Surroundings::new(&variable, now)).is_ok()
    }

    #[track_caller]
    fn accepted(validator: &jsonschema::Validator, text: &str) {
        let tree = tree(text);
        let errors: Vec<String> =
            validator.iter_errors(&tree).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{text}\n{errors:#?}");
        assert!(is_read(text), "the schema accepts what the reader refuses:\n{text}");
    }

    fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, extension, found);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }

    #[test]
    fn whatever_we_show_fits_the_schema() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let validator = validator();
        let mut seen = 0;
        let mut pages = Vec::new();
        files(&root.join("docs"), "md", &mut pages);
        for page in pages {
            let text = std::fs::read_to_string(&page).expect("a page");
            let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0));
            for block in blocks.filter(|block| block.starts_with("version: \"1.0\"\n")) {
                accepted(&validator, block);
                seen += 1;
            }
        }
        let mut examples = Vec::new();
        files(&root.join("examples"), "yaml", &mut examples);
        files(&root.join("host/scaffold/workspace"), "yaml", &mut examples);
        for example in examples {
            let text = std::fs::read_to_string(&example).expect("an example");
            if text.contains("\npipeline:") {
                accepted(&validator, &text);
                seen += 1;
            }
        }
        assert!(seen >= 4, "only {seen} documents were found");
    }

    const HEAD: &str = "version: \"1.0\"\npipeline: p\n";
    const SOURCE: &str = "source: { use: ./s }\n";
    const DESTINATION: &str = "destination: { use: ./d, write_mode: append }\n";

    #[test]
    fn what_is_rare_fits_as_well() {
        let validator = validator();
        for rest in [
            "transforms:\nstate:\nresources:\nhooks: { on_success: }\n",
            "resources: { max_memory: 268435456, parallelism: ${N:-4}, checkpoint_interval_seconds: 5m }\n",
            "resources: { checkpoint_interval_seconds: 90, max_batch_bytes: 1.5 MiB }\n",
            "state: { backend: postgres, connection: \"postgres://h/d\" }\n",
            "errors: { retry: { max_attempts: ${N:-4}, initial_delay: 59m30s, max_delay: 1h, jitter: false } }\n",
            "errors: { on_error: dead_letter, dead_letter: { destination: ./f, config: { path: \"${pipeline}/${stream}\" } } }\n",
            "transforms: [{ operations: [{ sql: \"SELECT 1\" }, { filter: \"true\" }, { drop_columns: [a] }] }]\n",
            "transforms: [{ use: ./t, config: }]\n",
            "cache: { path: here }\n",
            "errors: { on_error: fail }\n",
        ] {
            accepted(&validator, &format!("{HEAD}{SOURCE}{DESTINATION}{rest}"));
        }
        for streams in
            ["all", "[{ name: a, tie_breaker: b, sync_mode: incremental, cursor_field: c, partitions: 4 }]"]
        {
            accepted(&validator, &format!("{HEAD}source: {{ use: ./s, streams: {streams} }}\n{DESTINATION}"));
        }
        let evolution =
            "destination: { use: ./d, write_mode: append, schema_evolution: { type_change: null } }\n";
        accepted(&validator, &format!("{HEAD}{SOURCE}{evolution}"));
        accepted(&validator, &format!("version: 1.0\npipeline: p\n{SOURCE}{DESTINATION}"));
    }

    #[test]
    fn what_has_the_wrong_shape_is_refused_by_both() {
        let validator = validator();
        let whole = format!("{HEAD}{SOURCE}{DESTINATION}");
        let mut bad: Vec<String> = [
            "transform: []",
            "transforms: {}",
            "transforms: [{ use: ./t, operations: [{ filter: \"a\" }] }]",
            "transforms: [{ stream: a }]",
            "transforms: [{ operations: [] }]",
            "transforms: [{ operations: [{}] }]",
            "transforms: [{ operations: [{ filter: a, sql: b }] }]",
            "transforms: [{ operations: [{ rename: { from: a, to: b } }] }]",
            "transforms: [{ operations: [{ rename_column: { from: a } }] }]",
            "transforms: [{ operations: [{ drop_columns: a }] }]",
            "contracts: [{ stream: a }]",
            "contracts: [{ column_rules: [{ column: a, check: b }] }]",
            "contracts: [{ stream: a, column_rules: [{ column: a, check: b, on_violation: drop }] }]",
            "contracts: [{ stream: a, required_columns: [a] }]",
            "contracts: [{ stream: a, required_columns: [{ name: a }], notify: {} }]",
            "errors: { on_error: skip }",
            "errors: { retry: { max_attempts: 0 } }",
            "errors: { retry: { backoff: quadratic } }",
            "errors: { retry: { initial_delay: 5 } }",
            "errors: { circuit_breaker: { cooldown: 1m } }",
            "errors: { circuit_breaker: { error_rate: 2 } }",
            "errors: { dead_letter: { config: {} } }",
            "state: { backend: mysql }",
            "state: sqlite",
            "resources: { max_memory: lots }",
            "resources: { parallelism: 0 }",
            "resources: { parallelism: four }",
            "hooks: { on_success: [notify.sh] }",
            "hooks: { on_success: [{ timeout: 1m }] }",
            "cache: true",
        ]
        .iter()
        .map(|rest| format!("{whole}{rest}\n"))
        .collect();
        bad.extend(
            [
                "[]",
                "orders",
                "[orders]",
                "[{}]",
                "[{ name: a, sync_mode: increment }]",
                "[{ name: a, columns: [] }]",
            ]
            .iter()
            .map(|streams| format!("{HEAD}source: {{ use: ./s, streams: {streams} }}\n{DESTINATION}")),
        );
        bad.push(format!("{HEAD}{SOURCE}"));
        bad.push(format!("{HEAD}{SOURCE}destination: {{ write_mode: append }}\n"));
        bad.push(format!("version: \"2.0\"\npipeline: p\n{SOURCE}{DESTINATION}"));
        bad.push(format!("version: \"1.0\"\npipeline: a b\n{SOURCE}{DESTINATION}"));
        for text in bad {
            assert!(!is_read(&text), "the reader accepts it:\n{text}");
            assert!(!validator.is_valid(&tree(&text)), "the schema accepts it:\n{text}");
        }
    }

    /// The tables repeat words that the contract has.
    #[test]
    fn words_are_those_of_the_contract() {
        let words =
            |table: &Table, key: &str| match table.keys.iter().find(|it| it.name == key).map(|it| it.shape) {
                Some(Shape::Words(words)) => words.to_vec(),
                _ => panic!("`{key}` has no words"),
            };
        fn all<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
            all.iter().map(|value| word(*value)).collect()
        }
        assert_eq!(words(&STREAM, "sync_mode"), all(SyncMode::ALL, SyncMode::as_str));
        assert_eq!(words(&STREAM, "write_mode"), all(WriteMode::ALL, WriteMode::as_str));
        assert_eq!(words(&STREAM, "on_data_error"), all(DataErrorPolicy::ALL, DataErrorPolicy::as_str));
        assert_eq!(words(&EVOLUTION, "new_column"), all(NewColumnPolicy::ALL, NewColumnPolicy::as_str));
        assert_eq!(
            words(&EVOLUTION, "removed_column"),
            all(RemovedColumnPolicy::ALL, RemovedColumnPolicy::as_str)
        );
        assert_eq!(words(&EVOLUTION, "type_change"), all(TypeChangePolicy::ALL, TypeChangePolicy::as_str));
        assert_eq!(
            words(&EVOLUTION, "nullability_change"),
            all(NullabilityChangePolicy::ALL, NullabilityChangePolicy::as_str)
        );
    }

    #[test]
    fn every_schema_is_one_and_says_what_keys_are_for() {
        for schema in [json_schema(), settings_json_schema()] {
            jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
            let definitions = schema["$defs"].as_object().expect("definitions");
            for definition in definitions.values().chain([&schema]) {
                for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                    assert!(property["description"].as_str().is_some_and(|it| it.len() > 10), "{key}");
                }
            }
        }
    }
}
