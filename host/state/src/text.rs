//! Texts as the state keeps them. Refuses to know: what they say.

/// At most so many bytes of a text, ending at a character.
pub fn cut(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
