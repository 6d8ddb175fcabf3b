//! What a connector may be called: lower-case words with single dashes, the first one saying its role.

use std::fmt;

/// What a connector is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Source,
    Destination,
    Transform,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Source, Role::Destination, Role::Transform];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Destination => "destination",
            Role::Transform => "transform",
        }
    }

    /// What names of this role begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Role::Source => "source-",
            Role::Destination => "dest-",
            Role::Transform => "transform-",
        }
    }

    /// The role that a name says.
    pub fn of_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| {
            name.strip_prefix(role.prefix())
                .or_else(|| name.strip_prefix("destination-").filter(|_| *role == Role::Destination))
                .is_some()
        })
    }
}

/// Longest name; a manifest's limit.
const NAME_BYTES_MAX: usize = 64;
/// Crates that Cargo refuses or that would hide Rust's own.
const TAKEN: [&str; 12] = [
    "core",
    "std",
    "alloc",
    "test",
    "proc-macro",
    "rapidbyte-sdk",
    "rapidbyte-sdk-macros",
    "serde",
    "serde-json",
    "arrow-json",
    "build",
    "deps",
];
const KEYWORDS: [&str; 49] = [
    "as", "break", "const", "continue", "crate", "else", "enum", "extern", "false", "fn", "for", "if",
    "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while", "async", "await", "dyn",
    "abstract", "become", "box", "do", "final", "macro", "override", "priv", "typeof", "unsized", "virtual",
    "yield",
];

/// Why something cannot be a name, and what could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName {
    pub name: String,
    pub reason: String,
    pub suggestion: Option<String>,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot name a connector: {}", self.name.escape_debug(), self.reason)
    }
}

impl std::error::Error for BadName {}

/// Checks a name and answers its role: the one it begins with, or the given one.
pub fn check(name: &str, role: Option<Role>) -> Result<Role, BadName> {
    let bad = |reason: &str| BadName {
        name: name.to_owned(),
        reason: reason.to_owned(),
        suggestion: suggest(name, role).filter(|suggestion| suggestion != name),
    };
    if name.is_empty() {
        return Err(bad("it is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(bad(&format!("it has more than {NAME_BYTES_MAX} characters")));
    }
    if let Some(odd) = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(bad(&format!("`{}` is not a lower-case letter, a digit or `-`", odd.escape_debug())));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(bad("it does not begin with a letter"));
    }
    if name.ends_with('-') || name.contains("--") {
        return Err(bad("a `-` stands between two words"));
    }
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        return Err(bad("the word is taken in Rust"));
    }
    match (Role::of_name(name), role) {
        (Some(said), Some(role)) if said != role => {
            Err(bad(&format!("it begins like a {}, and it is to be a {}", said.as_str(), role.as_str())))
        }
        (Some(role), _) | (None, Some(role)) => Ok(role),
        (None, None) => Err(bad(
            "it does not say its role by `source-`, `dest-` or `transform-`, and `--role` is not given",
        )),
    }
}

/// The nearest name that would do.
fn suggest(name: &str, role: Option<Role>) -> Option<String> {
    let mut words = String::new();
    let mut last_small = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            // `SourceJira` is two words.
            if c.is_ascii_uppercase() && last_small {
                words.push('-');
            }
            last_small = c.is_ascii_lowercase() || c.is_ascii_digit();
            words.push(c.to_ascii_lowercase());
        } else {
            last_small = false;
            if !words.ends_with('-') {
                words.push('-');
            }
        }
    }
    let words = words.trim_matches('-');
    let said = Role::of_name(words);
    let rest = said.and_then(|_| words.split_once('-')).map_or(words, |(_, rest)| rest).trim_matches('-');
    if rest.is_empty() {
        return None;
    }
    let prefix = role.or(said).unwrap_or(Role::Source).prefix();
    let mut suggestion = format!("{prefix}{rest}");
    suggestion.truncate(NAME_BYTES_MAX);
    let suggestion = suggestion.trim_end_matches('-').to_owned();
    check_shape(&suggestion).then_some(suggestion)
}

/// Whether a suggestion keeps the rules; it is made of ASCII.
fn check_shape(name: &str) -> bool {
    !name.contains("--") && Role::of_name(name).is_some_and(|role| name.len() > role.prefix().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_role() {
        for (name, role, answer) in [
            ("source-jira", None, Role::Source),
            ("dest-big-query2", None, Role::Destination),
            ("destination-s3", None, Role::Destination),
            ("transform-mask", None, Role::Transform),
            ("jira", Some(Role::Source), Role::Source),
            ("dest-s3", Some(Role::Destination), Role::Destination),
        ] {
            assert_eq!(check(name, role), Ok(answer), "{name}");
        }
    }

    #[test]
    fn every_suggestion_would_do() {
        for (name, role, suggestion) in [
            ("Source_Jira", None, Some("source-jira")),
            ("SourceJira", None, Some("source-jira")),
            ("jira", None, Some("source-jira")),
            ("jira cloud", Some(Role::Destination), Some("dest-jira-cloud")),
            ("source-jira", Some(Role::Transform), Some("transform-jira")),
            ("-source--jira-", None, Some("source-jira")),
            ("fn", Some(Role::Source), Some("source-fn")),
            ("3com", None, Some("source-3com")),
            ("日本", None, None),
            ("", None, None),
        ] {
            let error = check(name, role).unwrap_err();
            assert_eq!(error.suggestion.as_deref(), suggestion, "{name}: {error}");
            if let Some(suggestion) = error.suggestion {
                assert!(check(&suggestion, role).is_ok(), "{suggestion}");
            }
        }
        let long = check(&format!("source-{}", "x".repeat(100)), None).unwrap_err();
        assert!(check(&long.suggestion.unwrap(), None).is_ok());
    }
}
