//! `rapidbyte query`: SQL over what was synced, one question or a session of them.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use rapidbyte_host::Host;
use rapidbyte_host::core::limits::MEMORY_BYTES_DEFAULT;
use rapidbyte_host::query::{OutputFormat, QueryError, QuerySession, Written, write};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use crate::args::{Format, QueryArgs};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::{Bytes, Count};
use crate::report::{Failure, Report};
use crate::runtime;
use crate::settings::Settings;
use crate::table::{Align, Table};

const HISTORY_FILE: &str = "query_history";
const HISTORY_LINES_MAX: usize = 1000;

pub fn query(host: &Host, args: &QueryArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let folder = args.cache.clone().unwrap_or_else(|| host.default_cache_path(&here));
    let session = QuerySession::open(&folder, MEMORY_BYTES_DEFAULT).map_err(failure)?;
    if session.tables().next().is_none() {
        let message = format!("there is nothing to ask: no stream is cached in `{}`", folder.display());
        let hint =
            "a pipeline with `cache: { enabled: true }` caches what it syncs; `--cache` names another folder";
        return Err(Failure::environment("cache_empty", message).hint(hint).into());
    }
    let format = output_format(settings.format);
    let Some(sql) = &args.sql else {
        return interactive(&session, format, &settings.host.home.join(HISTORY_FILE), printer);
    };
    let written = match &args.output {
        Some(path) => {
            let create = || format!("cannot write `{}`", path.display());
            let mut file = BufWriter::new(File::create(path).with_context(create)?);
            let written = ask(&session, sql, format, &mut file)?;
            file.flush().with_context(create)?;
            written
        }
        None if format == OutputFormat::Parquet && io::stdout().is_terminal() => {
            let failure = Failure::usage("parquet_to_terminal", "Parquet is nothing for a terminal");
            return Err(failure.hint("name a file with `--output`, or send stdout to one").into());
        }
        None => ask(&session, sql, format, &mut io::stdout())?,
    };
    note_cut(&written, printer);
    Ok(Exit::Success)
}

/// The format of answers: a table for people.
fn output_format(format: Format) -> OutputFormat {
    match format {
        Format::Human | Format::Table => OutputFormat::Table,
        Format::Json => OutputFormat::Json,
        Format::Csv => OutputFormat::Csv,
        Format::Parquet => OutputFormat::Parquet,
    }
}

fn ask(
    session: &QuerySession,
    sql: &str,
    format: OutputFormat,
    out: &mut (dyn Write + Send),
) -> Result<Written> {
    let answered = runtime::block_on(async { write(session.query(sql).await?, format, out).await })?;
    match answered {
        // Whoever reads the answer has seen enough.
        Err(QueryError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::default()),
        answered => answered.map_err(failure),
    }
}

fn failure(error: QueryError) -> anyhow::Error {
    let hint = error.hint().map(str::to_owned);
    let failed = match error {
        QueryError::Sql { .. } => Failure::usage("query", error.to_string()),
        _ => Failure::environment("query_failed", error.to_string()),
    };
    match hint {
        Some(hint) => failed.hint(hint).into(),
        None => failed.into(),
    }
}

fn note_cut(written: &Written, printer: &Printer) {
    if written.rows_shown < written.rows {
        let hint = "`--format csv` or `LIMIT` for others";
        printer.warning(format_args!("{} of {} rows are shown; {hint}", written.rows_shown, written.rows));
    }
}

/// One statement after the other, until the end of input.
fn interactive(
    session: &QuerySession,
    format: OutputFormat,
    history: &Path,
    printer: &Printer,
) -> Result<Exit> {
    let format = if format == OutputFormat::Parquet { OutputFormat::Table } else { format };
    let config = Config::builder().max_history_size(HISTORY_LINES_MAX)?.auto_add_history(false).build();
    let mut editor: Editor<(), FileHistory> = Editor::with_config(config)?;
    // The first session has none.
    let _ = editor.load_history(history);
    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() { "sql> " } else { "  -> " };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("cannot read what is typed"),
        };
        let typed = line.trim();
        if statement.is_empty() && matches!(typed, "" | "\\q" | "exit" | "quit") {
            if typed.is_empty() {
                continue;
            }
            break;
        }
        if statement.is_empty() && typed.starts_with('\\') {
            let _ = editor.add_history_entry(typed);
            command(session, typed, printer);
            continue;
        }
        statement.push_str(&line);
        statement.push('\n');
        if !typed.ends_with(';') {
            continue;
        }
        let sql = std::mem::take(&mut statement);
        let _ = editor.add_history_entry(sql.trim());
        match ask(session, sql.trim().trim_end_matches(';'), format, &mut io::stdout()) {
            Ok(written) => note_cut(&written, printer),
            Err(error) => printer.error(&Report::new(&error)),
        }
    }
    if let Some(folder) = history.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let _ = editor.save_history(history);
    Ok(Exit::Success)
}

/// What is asked of the session, not of the data.
fn command(session: &QuerySession, typed: &str, printer: &Printer) {
    let mut words = typed.split_whitespace();
    match (words.next(), words.next()) {
        (Some("\\tables" | "\\dt"), None) => {
            let mut table = Table::new([
                ("table", Align::Left),
                ("pipeline", Align::Left),
                ("rows", Align::Right),
                ("size", Align::Right),
            ]);
            for info in session.tables() {
                let (rows, size) = (Count(info.records).to_string(), Bytes(info.bytes).to_string());
                table.row([info.stream.clone(), info.pipeline.clone(), rows, size]);
            }
            printer.data(table);
        }
        (Some("\\d"), Some(name)) => match session.describe(name) {
            Ok((_, columns)) => {
                let mut table =
                    Table::new([("column", Align::Left), ("type", Align::Left), ("nullable", Align::Left)]);
                for column in columns {
                    let nullable = if column.nullable { "yes" } else { "no" };
                    table.row([column.name.clone(), column.data_type.clone(), nullable.to_owned()]);
                }
                printer.data(table);
            }
            Err(error) => printer.error(&Report::new(&failure(error))),
        },
        _ => {
            let failure = Failure::usage("unknown_command", format!("`{typed}` is no command"));
            let failure =
                failure.hint("there are `\\tables`, `\\d TABLE` and `\\q`; a statement ends with `;`");
            printer.error(&Report::new(&failure.into()));
        }
    }
}
