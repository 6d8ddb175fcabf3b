//! Questions on a terminal, and there alone: both who asks and who answers must be there.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result};

/// Whether there is anybody to ask.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a yes; anything else is none.
pub fn confirm(question: &str) -> Result<bool> {
    let answer = line(&format!("{question} [y/N] "))?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line of text. The end of input is an empty one.
pub fn line(question: &str) -> Result<String> {
    eprint!("{question}");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim().to_owned())
}
