//! The guides for connector authors, followed to the letter: every shell block of a page is run, in order, by one shell in a
//! home that has nothing, and what the page shows as output is what comes.

mod support;

use std::ffi::OsString;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use support::{Project, RAPIDBYTE, Scaffolded, repository};
use xtask::guests;

/// A fenced block of the page.
#[derive(Debug, PartialEq)]
enum Block {
    /// To be typed.
    Commands(String),
    /// What was typed after `$ `, and what came.
    Session(Vec<(String, String)>),
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language {
            "sh" => blocks.push(Block::Commands(body.join("\n"))),
            "console" => {
                let mut session: Vec<(String, String)> = Vec::new();
                for line in body {
                    match (line.strip_prefix("$ "), session.last_mut()) {
                        (Some(command), _) => session.push((command.to_owned(), String::new())),
                        (None, Some((_, output))) => *output += &format!("{line}\n"),
                        (None, None) => panic!("a session begins with `$ `, not with `{line}`"),
                    }
                }
                blocks.push(Block::Session(session));
            }
            _ => {}
        }
    }
    blocks
}

/// What differs from run to run made the same: times, sizes and rates, and how wide a table is for them.
fn steady(text: &str, project: &Project) -> String {
    let text = text.replace(&project.home().display().to_string(), "~");
    let bare = |word: &str| word.trim_start_matches('(').trim_end_matches([',', ';', ')', '.']).to_owned();
    let is_number = |word: &str| {
        let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',');
        word.starts_with(|c: char| c.is_ascii_digit())
            && word.trim_end_matches(['m', 's', 'h']).chars().all(digits)
    };
    let mut steady = String::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let number = bare(word);
            let unit = words.peek().map(|next| bare(next)).unwrap_or_default();
            if is_number(&number) && matches!(unit.as_str(), "B" | "kB" | "MB" | "GB" | "rows/s") {
                words.next();
                steady += "# ";
            } else if is_number(&number) && number.ends_with(['m', 's', 'h']) {
                steady += "# ";
            } else {
                steady += &format!("{word} ");
            }
        }
        steady.push('\n');
    }
    steady
}

/// Does all that a page says.
fn follow(page: &str, environment: &[(&str, OsString)]) {
    let page = std::fs::read_to_string(repository().join(page)).expect("the guide");
    let blocks = blocks(&page);
    assert!(blocks.len() >= 8, "the guide shows what to type: {blocks:?}");
    let project = Project::new();

    // One shell, so that `cd` and what runs beside hold. Each piece of output goes to a file of its own.
    let outputs = project.path(".outputs");
    std::fs::create_dir_all(&outputs).expect("a folder");
    let mut script = String::from("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    let mut shown = Vec::new();
    for block in &blocks {
        let pieces: Vec<(&str, Option<&str>)> = match block {
            Block::Commands(commands) => vec![(commands.as_str(), None)],
            Block::Session(session) => session.iter().map(|(c, o)| (c.as_str(), Some(o.as_str()))).collect(),
        };
        for (commands, output) in pieces {
            let file = outputs.join(shown.len().to_string());
            script += &format!("{{\n{commands}\n}} >'{0}' 2>&1\n", file.display());
            shown.push((commands.to_owned(), output.map(str::to_owned), file));
        }
    }
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let folder = std::path::Path::new(RAPIDBYTE).parent().expect("the binary lies in a folder");
    let path = std::env::join_paths(
        [folder.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").expect("a PATH"))),
    );
    let mut shell = Command::new("bash");
    support::isolate(&mut shell, &project.home());
    shell.args(["-c", &script]).current_dir(project.root()).stdin(Stdio::null());
    shell.env("PATH", path.expect("folders make a path"));
    let target = Scaffolded::lock();
    target.set(&mut shell);
    // Another test may have the fixture server's usual port.
    shell.env("API_PORT", free.to_string()).env("API_URL", format!("http://127.0.0.1:{free}/v1"));
    shell.envs(environment.iter().map(|(name, value)| (name, value)));
    let status = shell.status().expect("bash starts");

    let mut wrong = Vec::new();
    for (commands, output, file) in &shown {
        let Ok(came) = std::fs::read_to_string(file) else { break };
        if let Some(output) = output
            && steady(output, &project) != steady(&came, &project)
        {
            wrong.push(format!("`{commands}` shows\n{output}but now it is\n{came}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let last = shown
        .iter()
        .rev()
        .find_map(|(commands, _, file)| Some(format!("{commands}\n{}", std::fs::read_to_string(file).ok()?)));
    assert!(status.success(), "{}", last.unwrap_or_default());
}

#[test]
fn the_guide_for_rust_is_true() {
    follow("docs/connectors.md", &[]);
}

#[test]
fn the_guide_for_python_is_true() {
    follow("docs/connectors-python.md", &support::guest_tools(&guests::PYTHON).offline());
}

#[test]
fn the_guide_for_javascript_is_true() {
    follow("docs/connectors-js.md", &support::guest_tools(&guests::JAVASCRIPT).offline());
}

#[test]
fn blocks_are_found_and_compared() {
    let page = "x\n```sh\ncd a\nls\n```\n```yaml\nno: 1\n```\n```console\n$ one\nout\n$ two\n```\n";
    assert_eq!(
        blocks(page),
        [
            Block::Commands("cd a\nls".to_owned()),
            Block::Session(vec![("one".to_owned(), "out\n".to_owned()), ("two".to_owned(), String::new())]),
        ]
    );
    let project = Project::new();
    let same = |a: &str, b: &str| steady(a, &project) == steady(b, &project);
    assert!(same("Done 7 rows, 968 B in 0.31s (20 rows/s)", "Done   7 rows, 1.2 kB in 12ms (3,000 rows/s)"));
    assert!(!same("Done 7 rows, 968 B in 0.31s", "Done 8 rows, 968 B in 0.31s"));
    assert!(!same("passed", "failed"));
}
