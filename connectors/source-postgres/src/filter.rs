//! The pipeline's predicate: that it can mean nothing but one predicate, before the server sees it, and what the server
//! says of it. Knows SQL's quoting and brackets, and nothing else of SQL.

use std::iter::Peekable;
use std::str::Chars;

use rapidbyte_postgres::Session;
use rapidbyte_postgres::errors::Class;
use rapidbyte_sdk::prelude::*;

/// Refuses what would end the parentheses it is put into, start a second statement or hide what follows it.
///
/// # Errors
/// A `config` error that names the predicate.
pub(crate) fn check(stream: &str, predicate: &str) -> Result<(), ConnectorError> {
    scan(predicate).map_err(|reason| refused(stream, predicate, reason))
}

/// What the server says of the predicate.
pub(crate) fn server_error(
    session: &Session,
    stream: &str,
    predicate: Option<&str>,
    error: &tokio_postgres::Error,
) -> ConnectorError {
    let doing = format!("opening stream `{stream}`");
    let (Some(predicate), Some(database)) = (predicate, error.as_db_error()) else {
        return session.error(&doing, error);
    };
    let sqlstate = database.code().code();
    // The relation was found and may be read: what is wrong with names, types and values is the predicate.
    if !matches!(Class::of(sqlstate), Class::Schema | Class::Data) {
        return session.error(&doing, error);
    }
    let mut refused = refused(stream, predicate, &format!("{} ({sqlstate})", database.message()));
    if let Some(hint) = database.hint() {
        refused = refused.with_details(serde_json::json!({ "sqlstate": sqlstate, "hint": hint }));
    }
    refused
}

fn refused(stream: &str, predicate: &str, reason: &str) -> ConnectorError {
    ConnectorError::config(
        "filter",
        format!("stream `{stream}`: the filter `{predicate}` is refused: {reason}"),
    )
    .with_code("filter_refused")
}

/// Walks the predicate as PostgreSQL's lexer does, as far as quotes, comments and brackets go.
fn scan(predicate: &str) -> Result<(), &'static str> {
    if predicate.trim().is_empty() {
        return Err("it is empty");
    }
    let mut characters = predicate.chars().peekable();
    let mut depth = 0_u32;
    // The word before the present character, for `E'…'` and for `$` inside of a name.
    let mut word = String::new();
    while let Some(character) = characters.next() {
        let is_number = word.starts_with(|first: char| first.is_ascii_digit());
        if is_word(character) || (character == '$' && !word.is_empty() && !is_number) {
            word.push(character);
            continue;
        }
        let before = std::mem::take(&mut word);
        match (character, characters.peek().copied()) {
            ('\0', _) => return Err("it contains a NUL character"),
            (';', _) => return Err("it contains `;`, it must be one expression"),
            ('-', Some('-')) | ('/', Some('*')) => return Err("it contains a comment"),
            ('(', _) => depth += 1,
            (')', _) => {
                depth = depth.checked_sub(1).ok_or("it closes a parenthesis that it does not open")?
            }
            ('\'', _) => {
                if is_number {
                    return Err("a number stands right before a quote");
                }
                let escapes = before.eq_ignore_ascii_case("e");
                if !quoted(&mut characters, '\'', escapes) {
                    return Err("it does not close a quote");
                }
                if goes_on_below(&characters) {
                    return Err("a quoted text goes on in another line: write it in one");
                }
            }
            ('"', _) if !quoted(&mut characters, '"', false) => {
                return Err("it does not close a quoted name");
            }
            ('$', _) if !dollar_quoted(&mut characters) => return Err("it does not close a dollar quote"),
            _ => {}
        }
    }
    if depth > 0 { Err("it does not close a parenthesis") } else { Ok(()) }
}

/// What a name or a number consists of, beside `$`.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || !character.is_ascii()
}

/// A quoted text behind a line break is the same text to the server, under the same rules.
fn goes_on_below(characters: &Peekable<Chars<'_>>) -> bool {
    let mut ahead = characters.clone();
    let mut broken = false;
    while let Some(space) = ahead.next_if(char::is_ascii_whitespace) {
        broken |= matches!(space, '\n' | '\r');
    }
    broken && ahead.peek() == Some(&'\'')
}

/// Goes behind the closing quote. False: there is none.
fn quoted(characters: &mut Peekable<Chars<'_>>, quote: char, escapes: bool) -> bool {
    while let Some(character) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if_eq(&quote).is_none() {
            return true;
        }
    }
    false
}

/// Behind a `$` that begins no name: a quote `$tag$…$tag$`, or something that the server will refuse.
fn dollar_quoted(characters: &mut Peekable<Chars<'_>>) -> bool {
    let mut ahead = characters.clone();
    let mut tag = String::from("$");
    loop {
        match ahead.next() {
            Some('$') => break tag.push('$'),
            Some(character) if is_word(character) && (tag.len() > 1 || !character.is_ascii_digit()) => {
                tag.push(character);
            }
            // `$1`, or a lone `$`: no quote begins.
            _ => return true,
        }
    }
    let rest: String = ahead.collect();
    let Some(end) = rest.find(&tag) else { return false };
    // Behind the opening tag, what is quoted, and the closing tag.
    let behind = tag.chars().count() - 1 + rest[..end].chars().count() + tag.chars().count();
    characters.nth(behind - 1);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_expression_is_let_through() {
        for predicate in [
            "id > 5",
            "(a = 1 OR b = 2) AND c IN (1, 2)",
            "note = 'a;b -- no comment /* nor this ) '",
            r"note = E'it\'s ; (' OR note = e'\\'",
            r"note = 'C:\' AND id = 1",
            r#""a;b""(" = 1"#,
            "note = 'it''s (' AND id - 1 > 0",
            "body = $$ ; -- ) $$ OR body = $tag$ $$ ; ( $tag$",
            "cost$us > 1 AND a$b = 2",
            "at > now() - interval '1 day'",
            "ü = 'ß;' AND (id)::text <> ''",
        ] {
            assert_eq!(scan(predicate), Ok(()), "{predicate}");
        }
    }

    #[test]
    fn what_could_be_more_than_one_expression_is_refused() {
        for predicate in [
            "",
            "  \n",
            "id = 1; DROP TABLE t",
            "id = 1 -- rest",
            "id = 1 /* rest */",
            "true) OR (true",
            "(id = 1",
            "id = 1)",
            "note = 'open",
            "note = 'a\\'; --'",
            r"note = E'a\'",
            r#""open = 1"#,
            "body = $$ open",
            "body = $a$ $b$",
            "body = $a$ x $a$ ; y",
            "body = x$a$ ; $a$",
            "id = 1\0",
            "1 = 1e'a\\'||'; x'",
            "note = E'a'\n'b\\'; x'",
            "\u{a0}e'a\\'; x",
            "1$a$ ; $a$ ; x",
        ] {
            assert!(scan(predicate).is_err(), "{predicate}");
        }
        let error = check("t", "true) OR (true").unwrap_err();
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Config, "filter_refused"));
        assert!(error.message.contains("`true) OR (true`"), "{error}");
    }
}
