//! The header `link` (RFC 8288), by which many APIs say where the next page is. It finds a target by its relation and knows
//! neither servers nor requests.

/// The target of the first link with this relation.
pub(super) fn target<'h>(header: &'h str, relation: &str) -> Option<&'h str> {
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let (target, after) = rest.strip_prefix('<')?.split_once('>')?;
        let (found, after) = parameters(after, relation);
        if found {
            return Some(target);
        }
        rest = after;
    }
}

/// Reads a link's parameters up to the next link; answers whether `rel` has the relation, and what follows.
fn parameters<'h>(mut rest: &'h str, relation: &str) -> (bool, &'h str) {
    let mut found = None;
    loop {
        rest = rest.trim_start();
        let Some(after) = rest.strip_prefix(';') else { return (found.unwrap_or(false), rest) };
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..end].trim();
        rest = &after[end..];
        let Some(value) = rest.strip_prefix('=') else { continue };
        let (value, after) = value_of(value.trim_start());
        rest = after;
        // Only the first `rel` of a link counts.
        if name.eq_ignore_ascii_case("rel") && found.is_none() {
            found = Some(value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(relation)));
        }
    }
}

/// A word, or what stands between quotes. No relation has a quote in it, so what is escaped need not be read.
fn value_of(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim_end(), &text[end..]);
    };
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !escaped => return (&quoted[..at], &quoted[at + 1..]),
            c => escaped = c == '\\' && !escaped,
        }
    }
    (quoted, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page_among_other_links() {
        for (header, next) in [
            (
                "<https://api.example.com/issues?page=2>; rel=\"next\"",
                Some("https://api.example.com/issues?page=2"),
            ),
            ("</a>; rel=\"prev\", </b>; rel=\"next\"", Some("/b")),
            ("</a,b;c>; title=\"x, <y>; rel=\\\"next\\\"\"; rel=last, </c>;rel=next", Some("/c")),
            ("</a>; REL=\"last Next\"", Some("/a")),
            ("</a>; rel=prev; rel=next", None),
            ("</a>; rel=\"nextish\"", None),
            ("</a>", None),
            ("", None),
            ("nonsense; rel=next", None),
            ("</a; rel=next", None),
            ("</a>; rel=\"next", Some("/a")),
        ] {
            assert_eq!(target(header, "next"), next, "{header}");
        }
    }
}
