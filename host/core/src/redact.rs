//! The redactor: every resolved secret is registered here, and every sink passes its text through it.

use std::borrow::Cow;
use std::sync::{Arc, RwLock};

/// Shorter values are not secrets but words; masking them would garble unrelated text.
const SECRET_BYTES_MIN: usize = 4;
/// What a secret is replaced with.
pub const MASK: &str = "***";
/// What every byte of a secret is replaced with where lengths must stay.
pub const MASK_BYTE: u8 = b'*';

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

impl Redactor {
    /// Masks secrets in bytes, which keep their length: protocols that count bytes still parse. Also finds them in base64,
    /// wherever in it they begin.
    pub fn mask_bytes(&self, bytes: &mut [u8]) {
        let secrets = self.secrets.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let encoded = secrets.iter().flat_map(|secret| base64_forms(secret.as_bytes()));
        let forms = secrets.iter().map(|secret| secret.as_bytes().to_vec()).chain(encoded);
        for form in forms {
            let mut from = 0;
            while let Some(at) = find(&bytes[from..], &form) {
                let end = from + at + form.len();
                bytes[from + at..end].fill(MASK_BYTE);
                from = end;
            }
        }
    }

    /// The most bytes that a secret takes in any form that [`Redactor::mask_bytes`] finds.
    pub fn secret_bytes_max(&self) -> usize {
        let secrets = self.secrets.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        secrets.first().map_or(0, |secret| (secret.len() + 2).div_ceil(3) * 4)
    }
}

fn find(bytes: &[u8], form: &[u8]) -> Option<usize> {
    let first = *form.first()?;
    let mut from = 0;
    while bytes.len() - from >= form.len() {
        let at = from + bytes[from..=bytes.len() - form.len()].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(form) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The characters that stand for a secret within base64 and depend on nothing else, for each way it can be aligned.
fn base64_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for alphabet in [&b"+/"[..], b"-_"] {
        for before in 0..3 {
            let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.iter().copied()).collect();
            // The first characters hold bits of what stands before, the last those of what follows.
            let first = (before * 8).div_ceil(6);
            let end = bytes.len() * 8 / 6;
            let character = |index: usize| {
                let value = (0..6).fold(0_usize, |value, bit| {
                    let bit = index * 6 + bit;
                    (value << 1) | usize::from(bytes[bit / 8] >> (7 - bit % 8) & 1)
                });
                match value {
                    0..26 => b'A' + value as u8,
                    26..52 => b'a' + (value - 26) as u8,
                    52..62 => b'0' + (value - 52) as u8,
                    _ => alphabet[value - 62],
                }
            };
            let form: Vec<u8> = (first..end).map(character).collect();
            if form.len() >= SECRET_BYTES_MIN && !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
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

    #[test]
    fn masks_bytes_in_place_and_in_base64() {
        let redactor = Redactor::default();
        redactor.register("hunter22");
        let masked = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            redactor.mask_bytes(&mut bytes);
            assert_eq!(bytes.len(), text.len());
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(masked("pw=hunter22&x"), "pw=********&x");
        // `u:hunter22`, `us:hunter22`, `use:hunter22`, as HTTP's basic authorization has them.
        for basic in ["dTpodW50ZXIyMg==", "dXM6aHVudGVyMjI=", "dXNlOmh1bnRlcjIy"] {
            let left = masked(basic);
            let stars = left.bytes().filter(|byte| *byte == MASK_BYTE).count();
            assert!(stars >= 9, "{basic} became {left}");
        }
        assert_eq!(masked("nothing here"), "nothing here");
        assert_eq!(masked(""), "");
    }
}
