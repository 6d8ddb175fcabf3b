//! Documents made to hurt: none may panic, hang or grow, however little it means. Random ones are seeded; a failure
//! prints the seed.

use std::fmt::Write;

use rapidbyte_pipeline::{ConfigSchema, DocumentErrors, Manifest, Parsed, Surroundings, limits};

fn parse(
    text: &str,
    name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Parsed, DocumentErrors> {
    let now = "2026-03-01T12:34:56Z".parse().unwrap();
    rapidbyte_pipeline::parse(text, name, &Surroundings::new(environment, now))
}

fn environment(name: &str) -> Option<String> {
    match name {
        "LONG" => Some("x".repeat(limits::VARIABLES_BYTES_MAX / 4)),
        "HOST" => Some("db-secret-value".to_owned()),
        _ => None,
    }
}

fn in_config(config: &str) -> String {
    format!(
        "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  config:\n{config}\n\
         destination: {{ use: ./d, write_mode: append }}\n"
    )
}

#[track_caller]
fn refused(text: &str, code: &str) -> DocumentErrors {
    let errors = parse(text, "p.yaml", &environment).expect_err("the document was accepted");
    assert_eq!(errors.errors[0].code, code, "{errors}");
    // What is wrong with a document is shorter than the document could be.
    assert!(errors.render().len() < 64 * 1024);
    errors
}

#[test]
fn alias_bombs_are_refused() {
    let mut lists = String::from("    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let _ =
            writeln!(lists, "    a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    let errors = refused(&in_config(&lists), "document_too_large");
    assert!(errors.errors[0].message.contains("aliases"));

    let mut merges = String::from("    a0: &a0 { k: x }\n");
    for level in 1..40 {
        let pairs: Vec<_> = (0..8).map(|n| format!("k{n}: *a{}", level - 1)).collect();
        let _ = writeln!(merges, "    a{level}: &a{level} {{ <<: *a{}, {} }}", level - 1, pairs.join(", "));
    }
    refused(&in_config(&merges), "document_too_large");

    // Few nodes, much text.
    let long = format!("    a: &a {}\n    b: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    refused(&in_config(&long), "document_too_large");
}

#[test]
fn nested_anchors_cost_what_they_copy() {
    let depth = limits::DEPTH_MAX - 8;
    let mut text = String::from("    a: ");
    for level in 0..depth {
        let _ = write!(text, "&a{level} [");
    }
    text.push_str(&"x, ".repeat(100_000));
    text.push_str(&"]".repeat(depth));
    refused(&in_config(&text), "document_too_large");
}

#[test]
fn variables_cannot_explode() {
    refused(&in_config(&format!("    a: [{}]\n", vec!["${LONG}"; 1000].join(", "))), "document_too_large");
    refused(&in_config(&format!("    a: {}\n", "${LONG}".repeat(1000))), "document_too_large");
}

#[test]
fn names_of_the_destination_cannot_explode() {
    let columns = (0..20_000).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
    let streams: String = (0..20_000).map(|n| format!("    - {{ name: s{n} }}\n")).collect();
    let text = format!(
        "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  streams:\n{streams}\
         destination: {{ use: ./d, write_mode: upsert, primary_key: [{columns}] }}\n"
    );
    refused(&text, "document_too_large");
}

#[test]
fn effort_grows_with_size_and_not_faster() {
    // Each of these took minutes with a search of the whole text per mistake.
    for repeated in [
        "${A", "${A:-", "${A}", "$${", "${A:-{", "{{", "{{ 5 }}", "{{ env('", "{{ (", "{", "&a ", "? ", "\"",
        "'",
    ] {
        let text = in_config(&format!("    a: {}", repeated.repeat(500_000 / repeated.len())));
        assert!(
            parse(&text, "p.yaml", &environment).is_err() || matches!(repeated, "$${" | "'" | "{{ 5 }}"),
            "{repeated}"
        );
    }
    let distinct: String = (0..60_000).map(|n| format!("${{A{n}}}")).collect();
    refused(&in_config(&format!("    a: {distinct}")), "missing_variable");
    let streams: String =
        (0..10_000).map(|n| format!("    - {{ name: s{n}, write_mode: append }}\n")).collect();
    let transforms: String = (0..10_000).map(|n| format!("  - {{ use: ./t, stream: t{n} }}\n")).collect();
    let text = format!(
        "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  streams:\n{streams}transforms:\n{transforms}\
         destination: {{ use: ./d }}\n"
    );
    refused(&text, "unknown_stream");
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("[{a: ", "}]")] {
        for depth in [limits::DEPTH_MAX, 10_000, 300_000] {
            let text = in_config(&format!("    a: {}{}", open.repeat(depth), close.repeat(depth)));
            let code = parse(&text, "p.yaml", &environment).expect_err("accepted").errors[0].code;
            assert!(matches!(code, "nested_too_deep" | "invalid_yaml"), "{code}");
        }
    }
    refused(&format!("{}x", "- ".repeat(100_000)), "nested_too_deep");
    let mut block = String::new();
    for level in 0..2000 {
        let _ = writeln!(block, "{}a:", " ".repeat(level));
    }
    refused(&block, "nested_too_deep");
}

#[test]
fn size_is_bounded() {
    refused(&in_config(&format!("    a: {}", "x".repeat(10 << 20))), "document_too_large");
    let errors = refused(&"a: &b c\n".repeat(100_000), "unknown_key");
    assert!(errors.errors.len() <= limits::ERRORS_MAX);
    // As large as allowed, and fine.
    let mut streams = String::from("version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  streams:\n");
    for stream in 0..20_000 {
        let _ = writeln!(
            streams,
            "    - {{ name: stream_{stream}, columns: [id, a, b, c], write_mode: replace }}"
        );
    }
    streams.push_str("destination: { use: ./d }\n");
    let parsed = parse(&streams, "p.yaml", &environment).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.pipeline.listed_streams().len(), 20_000);
}

#[test]
fn many_keys_and_long_lines_take_no_time_worth_naming() {
    let mut keys = String::new();
    for key in 0..60_000 {
        let _ = writeln!(keys, "    key_{key}: {key}");
    }
    assert!(parse(&in_config(&keys), "p.yaml", &environment).is_ok());
    let line = format!("    a: [{}]", (0..100_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
    assert!(parse(&in_config(&line), "p.yaml", &environment).is_ok());
    let unknown: String = (0..50_000).map(|key| format!("é{key}: 1\n")).collect();
    refused(&unknown, "unknown_key");
    let quoted = format!("    a: \"{}", "x".repeat(1 << 20));
    refused(&in_config(&quoted), "invalid_yaml");
}

#[test]
fn terminals_are_not_obeyed() {
    let text = "version: \"1.0\"\npipeline: \"\\e[31mred\\u202e\"\n\"\\e]0;title\\a\": 1\n\"\u{202e}abc\": 2\nsource: {use: ./s}\n\
                destination: {use: ./d, write_mode: append}\n";
    let errors = parse(text, "\u{1b}[2Jp.yaml", &environment).unwrap_err();
    let rendered = errors.render();
    assert!(rendered.contains("unknown key"), "{rendered}");
    assert!(!rendered.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{rendered:?}");
}

const SEEDS: &[&str] = &[
    include_str!("bad/records_wrong.yaml"),
    include_str!("bad/columns_lack_key.yaml"),
    include_str!("bad/aliased_mistake.yaml"),
    include_str!("bad/resources_out_of_range.yaml"),
    include_str!("bad/missing_variables.yaml"),
    include_str!("bad_manifests/bad_network.yaml"),
    include_str!("bad_manifests/bad_schema.yaml"),
    "version: \"1.0\"\npipeline: p\nsource:\n  use: ./s\n  config: &c {host: '${HOST}', notes: \"a\\tb\\u00e9\", 日本: 語}\n  \
     streams:\n  - name: a\n    sync_mode: incremental\n    cursor_field: >-\n      folded\n      text\n    tie_breaker: |-\n      id\n  \
     - {<<: &m {columns: [x, y]}, name: b, write_mode: merge, primary_key: [x], update_columns: [y]}\n\
     destination:\n  use: ../d.wasm\n  config:\n    <<: *c\n    list:\n    - 1\n    - - 2\n      - ~\n    ? complex\n    : value\n",
];

/// For the config of the last of [`SEEDS`].
const SCHEMA: &str = r#"{
    "type": "object", "required": ["host"], "additionalProperties": false,
    "properties": {
        "host": { "type": "string", "x-rapidbyte-secret": true, "maxLength": 12 },
        "notes": { "type": ["string", "integer"], "maxLength": 12 },
        "日本": { "type": "array", "items": { "type": "object", "additionalProperties": { "type": "boolean" } } }
    }
}"#;

const PIECES: &[&str] = &[
    "&a ",
    "*a",
    "<<: ",
    "- ",
    ": ",
    "? ",
    "| ",
    ">-\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "'",
    "#",
    "%YAML 1.2\n",
    "---\n",
    "...\n",
    "!!str ",
    "!x ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\n  ",
    "\n    ",
    "${",
    "${HOST}",
    "${HOST:-",
    "\u{fdd0}",
    "$${",
    "}}",
    "{{",
    "{{ env('HOST') }}",
    "{{ now() - days(3) | date('%Y') }}",
    "env(",
    "é",
    "語",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "\\x",
    "\\u00",
    "0x",
    "1e999",
    "~",
    "null",
    "é: &é ",
    "streams:",
    "name: ",
    "sync_mode: incremental",
    "write_mode: ",
    "primary_key: []",
    "config:",
    "version: ",
    "use: ./",
    "max_memory: ",
    "99999999999",
    "transforms:",
    "operations:",
    "- filter: ",
    "contracts:",
    "errors:",
    "hooks:",
    "state: ",
];

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn mutate(random: &mut Random) -> String {
    // Every other time the good one: what is accepted is looked at, too.
    let seed = if random.below(2) == 0 { SEEDS.len() - 1 } else { random.below(SEEDS.len()) };
    let mut text = SEEDS[seed].to_owned();
    for _ in 0..random.below(6) {
        let from = boundary(&text, random.below(text.len() + 1));
        let to = boundary(&text, (from + random.below(24)).min(text.len())).max(from);
        match random.below(5) {
            0 => text.replace_range(from..to, ""),
            1 => text.insert_str(from, PIECES[random.below(PIECES.len())]),
            2 => text.replace_range(from..to, PIECES[random.below(PIECES.len())]),
            3 => {
                let piece = text[from..to].to_owned();
                let at = boundary(&text, random.below(text.len() + 1));
                text.insert_str(at, &piece);
            }
            _ => text.truncate(boundary(&text, text.len() - random.below(text.len() / 4 + 1))),
        }
    }
    text
}

/// Rounds of the random test; more by `RAPIDBYTE_FUZZ_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("RAPIDBYTE_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5_000)
}

#[test]
fn random_documents_never_panic_and_errors_lie_in_the_text() {
    let schema = ConfigSchema::from_json(SCHEMA, "schema").unwrap();
    // The last one is good as it is.
    if let Err(errors) = parse(SEEDS[SEEDS.len() - 1], "p.yaml", &environment) {
        panic!("{errors}");
    }
    let accepted = std::cell::Cell::new(0);
    for seed in 1..=rounds() {
        let text = mutate(&mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut all = Vec::new();
            match parse(&text, "p.yaml", &environment) {
                Ok(parsed) => {
                    accepted.set(accepted.get() + 1);
                    let json = serde_json::to_string(&parsed.pipeline).unwrap();
                    assert!(parsed.secrets.is_empty() || json.contains("***"));
                    let connector = &parsed.pipeline.source.connector;
                    match connector.config.check(&schema, &connector.place) {
                        Ok(checked) => assert!(!format!("{checked:?}").contains("db-secret-value")),
                        Err(errors) => all.push(DocumentErrors::new(parsed.pipeline.file.clone(), errors)),
                    }
                    all.push(DocumentErrors::new(parsed.pipeline.file.clone(), parsed.warnings));
                }
                Err(errors) => {
                    assert!(!errors.errors.is_empty());
                    all.push(errors);
                }
            }
            all.extend(Manifest::from_yaml(&text, "m.yaml").err());
            for errors in all {
                let rendered = errors.render();
                assert!(!rendered.contains("db-secret-value"), "a value of the environment is shown");
                for error in &errors.errors {
                    assert!(!error.message.is_empty());
                    for span in error.related.iter().map(|(span, _)| span).chain([&error.span]) {
                        let length = errors.file.text.len() as u32;
                        assert!(span.is_none() || (span.start <= span.end && span.end <= length), "{span:?}");
                    }
                }
            }
        }));
        assert!(result.is_ok(), "seed {seed}:\n{text:?}");
    }
    // Otherwise nothing but syntax errors would be tested.
    assert!(accepted.get() * 50 > rounds(), "only {} documents were accepted", accepted.get());
}

/// The scanner's positions are what every error message stands on.
#[test]
fn keys_are_where_their_spans_say() {
    let mut checked = 0;
    for text in
        SEEDS.iter().map(|text| text.replace('\n', "\r\n")).chain(SEEDS.iter().map(|text| (*text).to_owned()))
    {
        let text = text.replace("use:", "ключ_日本: é\nuse:");
        let errors = parse(&text, "p.yaml", &environment).expect_err("accepted");
        for error in errors.errors.iter().filter(|error| error.code == "unknown_key") {
            let key = errors.file.slice(error.span);
            assert!(error.message.contains(&format!("`{key}`")), "{} is at {key:?}", error.message);
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} keys were looked at");
}
