//! CSV and JSON Lines files: their columns, and their records as cells in the order of the columns. It knows one file at a
//! time and nothing of batches.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rapidbyte_sdk::prelude::*;

use crate::columns::{Cell, ColumnType};
use crate::config::CsvOptions;
use crate::csv::{CsvError, CsvReader, Record};
use crate::infer::Candidates;
use crate::jsonl::{LineError, LineReader, each_member};
use crate::limits;
use crate::sink::place;
use crate::streams::io_error;

/// A column that is read, and its type.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub column_type: ColumnType,
}

/// Columns in the order of their first appearance, narrowing as records are looked at.
#[derive(Default)]
pub struct Inference {
    pub columns: Vec<(String, Candidates)>,
    index: HashMap<String, usize>,
    pub rows: u64,
    /// The bound was reached before the last file's end.
    pub cut_short: bool,
}

impl Inference {
    fn column(&mut self, name: &str) -> Result<usize, String> {
        if let Some(index) = self.index.get(name) {
            return Ok(*index);
        }
        if name.is_empty() {
            return Err("a column has no name".to_owned());
        }
        let index = self.columns.len();
        if index == limits::COLUMNS_MAX {
            return Err(format!("there are more than {} columns", limits::COLUMNS_MAX));
        }
        self.columns.push((name.to_owned(), Candidates::NEW));
        self.index.insert(name.to_owned(), index);
        Ok(index)
    }
}

fn schema_error(place: &str, message: impl std::fmt::Display) -> ConnectorError {
    ConnectorError::schema("bad_columns", format!("{place}: {message}"))
}

// ---- CSV ------------------------------------------------------------------------------------------

/// A CSV file whose header has been read.
pub struct CsvFile<'a> {
    path: PathBuf,
    options: &'a CsvOptions,
    reader: CsvReader<File>,
    pub header: Vec<String>,
    record: Record,
    /// `record` holds a record that was read to count the columns of a file without header.
    pending: bool,
}

impl<'a> CsvFile<'a> {
    pub fn open(path: &Path, options: &'a CsvOptions, record_bytes_max: u64) -> Result<Self, ConnectorError> {
        let file = File::open(path).map_err(|error| io_error(path, &error))?;
        let is_tsv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
        let delimiter = options.delimiter.unwrap_or(if is_tsv { '\t' } else { ',' });
        // `Config::check` has seen that both are ASCII.
        let reader = CsvReader::new(file, delimiter as u8, options.quote as u8, record_bytes_max)
            .map_err(|error| io_error(path, &error))?;
        let mut file = CsvFile {
            path: path.to_owned(),
            options,
            reader,
            header: Vec::new(),
            record: Record::default(),
            pending: false,
        };
        file.read_header()?;
        Ok(file)
    }

    fn read_header(&mut self) -> Result<(), ConnectorError> {
        if !self.options.columns.is_empty() {
            self.header = self.options.columns.clone();
        } else if self.read_record()? {
            if self.options.header {
                let names =
                    (0..self.record.len()).map(|index| self.text(index).map(|(text, _)| text.to_owned()));
                self.header = names.collect::<Result<_, _>>()?;
            } else {
                self.header = (1..=self.record.len()).map(|number| format!("column_{number}")).collect();
                self.pending = true;
            }
        } else if self.options.header {
            return Err(schema_error(
                &format!("`{}`", self.path.display()),
                "the file is empty, so it has no header",
            ));
        }
        let place = place(&self.path, self.record.line.max(1));
        if self.header.len() > limits::COLUMNS_MAX {
            return Err(schema_error(&place, format!("there are more than {} columns", limits::COLUMNS_MAX)));
        }
        let mut seen = HashMap::new();
        for (index, name) in self.header.iter().enumerate() {
            if name.is_empty() {
                return Err(schema_error(&place, format!("column {} has no name", index + 1)));
            }
            if let Some(first) = seen.insert(name, index) {
                let message = format!("columns {} and {} are both named `{name}`", first + 1, index + 1);
                return Err(schema_error(&place, message));
            }
        }
        Ok(())
    }

    /// The next line that is a record.
    fn read_record(&mut self) -> Result<bool, ConnectorError> {
        loop {
            let read = self.reader.read(&mut self.record);
            let more = read.map_err(|error| match error {
                CsvError::Io(error) => io_error(&self.path, &error),
                CsvError::TooLarge { .. } => data_error(&self.path, "record_too_large", &error),
                CsvError::OpenQuote { .. } | CsvError::TextBehindQuote { .. } => {
                    data_error(&self.path, "bad_csv", &error)
                }
            })?;
            // An empty line is a NULL where there is only one column, and nothing otherwise.
            let is_empty = self.record.len() == 1 && self.record.field(0) == Some((b"", false));
            if !more || !is_empty || self.header.len() == 1 {
                return Ok(more);
            }
        }
    }

    /// Goes to the next record and answers its line.
    pub fn advance(&mut self) -> Result<Option<u64>, ConnectorError> {
        if std::mem::take(&mut self.pending) || self.read_record()? {
            return Ok(Some(self.record.line));
        }
        Ok(None)
    }

    /// The record as cells; a record-level error where it does not fit.
    pub fn cells<'r>(
        &'r self,
        columns: &[Column],
        fields: &[usize],
    ) -> Result<Vec<Cell<'r>>, ConnectorError> {
        self.check_len()?;
        let mut cells = Vec::with_capacity(columns.len());
        for (column, index) in columns.iter().zip(fields) {
            let (text, quoted) = self.text(*index)?;
            if self.is_null(text, quoted) {
                cells.push(Cell::Null);
                continue;
            }
            let cell = column.column_type.parse(Cow::Borrowed(text)).ok_or_else(|| {
                does_not_fit(&self.path, self.record.line, &column.name, text, &column.column_type)
            })?;
            cells.push(cell);
        }
        Ok(cells)
    }

    /// The record as a dead letter shows it.
    pub fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        for index in 0..self.record.len() {
            if index > 0 {
                raw.push(b',');
            }
            raw.extend_from_slice(self.record.field(index).map_or(b"", |(bytes, _)| bytes));
        }
        raw
    }

    fn check_len(&self) -> Result<(), ConnectorError> {
        if self.record.len() == self.header.len() {
            return Ok(());
        }
        Err(ConnectorError::data(
            "wrong_field_count",
            format!(
                "{}: the record has {} fields, the columns are {}",
                place(&self.path, self.record.line),
                self.record.len(),
                self.header.len()
            ),
        ))
    }

    fn text(&self, index: usize) -> Result<(&str, bool), ConnectorError> {
        let (bytes, quoted) = self.record.field(index).unwrap_or((b"", false));
        let text = std::str::from_utf8(bytes).map_err(|_| {
            let column =
                self.header.get(index).map_or_else(|| (index + 1).to_string(), |name| format!("`{name}`"));
            let place = place(&self.path, self.record.line);
            ConnectorError::data("not_utf8", format!("{place}, column {column}: the text is not UTF-8"))
        })?;
        Ok((text, quoted))
    }

    fn is_null(&self, text: &str, quoted: bool) -> bool {
        !quoted && self.options.null_values.iter().any(|null| null == text)
    }

    /// Looks at records until the file ends or `rows_max` were looked at.
    pub fn infer(mut self, inference: &mut Inference, rows_max: u64) -> Result<(), ConnectorError> {
        let first = inference.columns.is_empty();
        let mut indices = Vec::with_capacity(self.header.len());
        for name in &self.header {
            let known = inference.index.contains_key(name);
            if !first && !known {
                let place = format!("`{}`", self.path.display());
                let message = format!("column `{name}` is not in the stream's first file");
                return Err(schema_error(&place, message));
            }
            indices.push(
                inference.column(name).map_err(|message| schema_error(&place(&self.path, 1), message))?,
            );
        }
        if let Some(missing) =
            inference.columns.iter().map(|(name, _)| name).find(|name| !self.header.contains(name))
        {
            return Err(schema_error(
                &format!("`{}`", self.path.display()),
                format!("column `{missing}` is missing"),
            ));
        }
        while let Some(_line) = self.advance()? {
            if inference.rows == rows_max {
                inference.cut_short = true;
                return Ok(());
            }
            inference.rows += 1;
            // What cannot be read here is an error of the record, under the run's policy.
            if self.check_len().is_err() {
                continue;
            }
            for (field, index) in indices.iter().enumerate() {
                if let Ok((text, quoted)) = self.text(field)
                    && !self.is_null(text, quoted)
                {
                    inference.columns[*index].1.text(text);
                }
            }
        }
        Ok(())
    }
}

// ---- JSON Lines -----------------------------------------------------------------------------------

/// An open JSON Lines file.
pub struct JsonlFile {
    path: PathBuf,
    reader: LineReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl JsonlFile {
    pub fn open(path: &Path, line_bytes_max: u64) -> Result<Self, ConnectorError> {
        let file = File::open(path).map_err(|error| io_error(path, &error))?;
        let reader = LineReader::new(file, line_bytes_max);
        Ok(JsonlFile { path: path.to_owned(), reader, line: Vec::new(), number: 0 })
    }

    /// Goes to the next record and answers its line.
    pub fn advance(&mut self) -> Result<Option<u64>, ConnectorError> {
        let read = self.reader.read(&mut self.line);
        let number = read.map_err(|error| match error {
            LineError::Io(error) => io_error(&self.path, &error),
            LineError::TooLarge { .. } => data_error(&self.path, "record_too_large", &error),
        })?;
        self.number = number.unwrap_or(self.number);
        Ok(number)
    }

    pub fn raw(&self) -> &[u8] {
        &self.line
    }

    fn text(&self) -> Result<&str, ConnectorError> {
        std::str::from_utf8(&self.line).map_err(|_| {
            let place = place(&self.path, self.number);
            ConnectorError::data("not_utf8", format!("{place}: the text is not UTF-8"))
        })
    }

    /// The record as cells; a record-level error where it does not fit. `index` finds a column by its key; a key that is not
    /// there is an error where `strict`.
    pub fn cells<'r>(
        &'r self,
        columns: &[Column],
        index: &HashMap<&str, usize>,
        strict: bool,
    ) -> Result<Vec<Cell<'r>>, ConnectorError> {
        let mut cells: Vec<Option<Cell<'r>>> = vec![None; columns.len()];
        let mut refused = None;
        let parsed = each_member(self.text()?, |key, raw| {
            let Some(place) = index.get(key).copied() else {
                if strict && raw != "null" && refused.is_none() {
                    refused = Some(self.unknown(key));
                }
                return Ok(());
            };
            if cells[place].is_some() {
                return Err(format!("key `{key}` appears twice"));
            }
            let column = &columns[place];
            let cell = column.column_type.parse_json(raw);
            if cell.is_none() && refused.is_none() {
                refused = Some(does_not_fit(&self.path, self.number, &column.name, raw, &column.column_type));
            }
            cells[place] = cell.or(Some(Cell::Null));
            Ok(())
        });
        parsed.map_err(|error| bad_json(&self.path, self.number, &error))?;
        match refused {
            Some(error) => Err(error),
            None => Ok(cells.into_iter().map(|cell| cell.unwrap_or(Cell::Null)).collect()),
        }
    }

    fn unknown(&self, key: &str) -> ConnectorError {
        let message = format!(
            "{}: key `{key}` was not among the records that the columns were inferred from; raise `infer_rows`",
            place(&self.path, self.number)
        );
        ConnectorError::data("unknown_column", message).with_details(serde_json::json!({ "column": key }))
    }

    /// Looks at records until the file ends or `rows_max` were looked at.
    pub fn infer(mut self, inference: &mut Inference, rows_max: u64) -> Result<(), ConnectorError> {
        while let Some(number) = self.advance()? {
            if inference.rows == rows_max {
                inference.cut_short = true;
                return Ok(());
            }
            inference.rows += 1;
            let mut bad_name = None;
            // What cannot be read here is an error of the record, under the run's policy.
            let Ok(text) = self.text() else { continue };
            let _ = each_member(text, |key, raw| {
                match inference.column(key) {
                    Ok(index) => inference.columns[index].1.json(raw),
                    Err(message) => bad_name = Some(message),
                }
                Ok(())
            });
            if let Some(message) = bad_name {
                return Err(schema_error(&place(&self.path, number), message));
            }
        }
        Ok(())
    }
}

fn bad_json(path: &Path, line: u64, error: &serde_json::Error) -> ConnectorError {
    // serde counts lines within the one line it was given.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let column = error.column();
    ConnectorError::data("bad_json", format!("{}, character {column}: {message}", place(path, line)))
}

// ---- Errors ---------------------------------------------------------------------------------------

fn data_error(path: &Path, code: &str, error: &dyn std::fmt::Display) -> ConnectorError {
    ConnectorError::data(code, format!("`{}`, {error}", path.display())).with_scope(ErrorScope::PerStream)
}

fn does_not_fit(
    path: &Path,
    line: u64,
    column: &str,
    text: &str,
    column_type: &ColumnType,
) -> ConnectorError {
    let word = column_type.word();
    let shown: String = text.chars().take(80).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    let message = format!("{}, column `{column}`: `{shown}{dots}` is no {word}", place(path, line));
    let details = serde_json::json!({ "column": column, "line": line, "type": word });
    ConnectorError::data("value_does_not_fit", message).with_details(details)
}
