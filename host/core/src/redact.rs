//! The redactor: every resolved secret is registered here, and every sink passes its text through it.

use std::borrow::Cow;
use std::sync::{Arc, RwLock};

/// Shorter values are not secrets but words; masking them would garble unrelated text.
const SECRET_BYTES_MIN: usize = 4;
/// What a secret is replaced with.
pub const MASK: &str = "***";

/// Knows the secrets of a run. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Arc<RwLock<Vec<String>>>,
}

impl Redactor {
    /// Registers a secret; from now on no text that passed through here contains it.
    pub fn register(&self, secret: &str) {
        if secret.len() < SECRET_BYTES_MIN {
            return;
        }
        let mut secrets = self.secrets.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let json = serde_json::Value::from(secret).to_string();
        for form in [secret.to_owned(), json.trim_matches('"').to_owned(), percent_encode(secret)] {
            if !secrets.contains(&form) {
                secrets.push(form);
            }
        }
        // The longest first, so that a secret that contains another one is masked whole.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let secrets = self.secrets.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut text = Cow::Borrowed(text);
        for secret in secrets.iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MASK));
            }
        }
        text
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_every_spelling_and_the_longest_first() {
        let redactor = Redactor::default();
        redactor.register("pa\"ss/word");
        redactor.register("pa\"ss/word-longer");
        redactor.register("abc");
        assert_eq!(redactor.redact("x pa\"ss/word-longer y"), "x *** y");
        assert_eq!(redactor.redact(r#"{"p":"pa\"ss/word"}"#), r#"{"p":"***"}"#);
        assert_eq!(redactor.redact("postgres://u:pa%22ss%2Fword@h"), "postgres://u:***@h");
        assert_eq!(redactor.redact("abc stays"), "abc stays");
    }
}
