//! Which streams a folder holds and of which files each is made, in an order that is always the same. It knows names and
//! endings and never opens a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rapidbyte_sdk::prelude::*;

use crate::config::{Config, Format, StreamConfig};
use crate::limits;

/// How the files of a stream are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Jsonl,
    Parquet,
}

impl FileFormat {
    fn of_format(format: Format) -> Option<Self> {
        match format {
            Format::Auto => None,
            Format::Csv => Some(FileFormat::Csv),
            Format::Jsonl => Some(FileFormat::Jsonl),
            Format::Parquet => Some(FileFormat::Parquet),
        }
    }

    fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" | "tsv" => Some(FileFormat::Csv),
            "jsonl" | "ndjson" => Some(FileFormat::Jsonl),
            "parquet" => Some(FileFormat::Parquet),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Jsonl => "jsonl",
            FileFormat::Parquet => "parquet",
        }
    }
}

/// A stream and its files, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStream {
    pub name: String,
    pub format: FileFormat,
    pub files: Vec<PathBuf>,
}

/// Every stream, sorted by name.
pub fn list(config: &Config) -> Result<Vec<FileStream>, ConnectorError> {
    let root = Path::new(&config.path);
    let metadata = fs::metadata(root).map_err(|error| io_error(root, &error))?;
    let given = FileFormat::of_format(config.format);
    if !config.streams.is_empty() {
        if !metadata.is_dir() {
            return Err(ConnectorError::config(
                "streams",
                format!("`{}` is a file, not a folder", config.path),
            ));
        }
        let mut streams = Vec::new();
        for (index, stream) in config.streams.iter().enumerate() {
            streams.push(mapped(root, index, stream, given)?);
        }
        streams.sort_by(|one, other| one.name.cmp(&other.name));
        return Ok(streams);
    }
    if metadata.is_dir() {
        return discover(root, given);
    }
    let format = given.or_else(|| FileFormat::of_path(root)).ok_or_else(|| {
        ConnectorError::config("format", format!("cannot tell it from the name `{}`: set it", config.path))
    })?;
    Ok(vec![FileStream { name: stem(root)?, format, files: vec![root.to_owned()] }])
}

/// The stream of a name.
pub fn find(config: &Config, name: &str) -> Result<FileStream, ConnectorError> {
    list(config)?.into_iter().find(|stream| stream.name == name).ok_or_else(|| {
        ConnectorError::config("path", format!("`{}` has no files of stream `{name}`", config.path))
            .with_code("stream_not_found")
    })
}

/// Files of the folder and its sub-folders, each a stream.
fn discover(root: &Path, given: Option<FileFormat>) -> Result<Vec<FileStream>, ConnectorError> {
    let mut streams: BTreeMap<String, (FileStream, PathBuf)> = BTreeMap::new();
    for path in children(root)? {
        let stream = if is_folder(&path)? {
            let mut files = Vec::new();
            walk(&path, 0, &mut files)?;
            let name = file_name(&path)?.to_owned();
            let Some((format, files)) = of_one_format(&name, files, given)? else { continue };
            FileStream { name, format, files }
        } else {
            let Some(format) =
                FileFormat::of_path(&path).filter(|format| given.is_none_or(|given| given == *format))
            else {
                continue;
            };
            FileStream { name: stem(&path)?, format, files: vec![path.clone()] }
        };
        let name = stream.name.clone();
        if let Some((_, other)) = streams.insert(name.clone(), (stream, path.clone())) {
            return Err(ConnectorError::config(
                "path",
                format!(
                    "`{}` and `{}` would both be stream `{name}`: name them under `streams`",
                    other.display(),
                    path.display()
                ),
            ));
        }
    }
    Ok(streams.into_values().map(|(stream, _)| stream).collect())
}

/// The files of a stream that the user named.
fn mapped(
    root: &Path,
    index: usize,
    stream: &StreamConfig,
    given: Option<FileFormat>,
) -> Result<FileStream, ConnectorError> {
    let mut paths = vec![root.to_owned()];
    for part in stream.files.split('/') {
        let mut next = Vec::new();
        for path in paths {
            if part.contains(['*', '?']) {
                if is_folder(&path)? {
                    let matches =
                        |child: &PathBuf| file_name(child).is_ok_and(|name| rapidbyte_text::glob(part, name));
                    next.extend(children(&path)?.into_iter().filter(matches));
                }
            } else {
                let child = path.join(part);
                if fs::metadata(&child).is_ok() {
                    next.push(child);
                }
            }
        }
        paths = next;
    }
    let mut files = Vec::new();
    for path in paths {
        if is_folder(&path)? {
            walk(&path, 0, &mut files)?;
        } else {
            files.push(path);
        }
    }
    let field = format!("streams[{index}].files");
    let format = match stream.format {
        Some(format) => FileFormat::of_format(format),
        None => given,
    };
    let (format, files) = match format {
        // Named files are read as they were said to be, whatever their ending.
        Some(format) => (format, files),
        None => of_one_format(&stream.name, files, None)?.unwrap_or((FileFormat::Csv, Vec::new())),
    };
    if files.is_empty() {
        return Err(ConnectorError::config(field, format!("no file is `{}`", stream.files)));
    }
    let mut files = files;
    files.sort();
    Ok(FileStream { name: stream.name.clone(), format, files })
}

/// Those of the files that have a known ending; they must agree.
fn of_one_format(
    stream: &str,
    files: Vec<PathBuf>,
    given: Option<FileFormat>,
) -> Result<Option<(FileFormat, Vec<PathBuf>)>, ConnectorError> {
    let mut found: Option<(FileFormat, Vec<PathBuf>)> = None;
    for file in files {
        let Some(format) =
            FileFormat::of_path(&file).filter(|format| given.is_none_or(|given| given == *format))
        else {
            continue;
        };
        match &mut found {
            None => found = Some((format, vec![file])),
            Some((first, files)) if *first == format => files.push(file),
            Some((first, files)) => {
                return Err(ConnectorError::config(
                    "path",
                    format!(
                        "stream `{stream}` has files of two formats: `{}` is {}, `{}` is {}; set `format`",
                        files[0].display(),
                        first.as_str(),
                        file.display(),
                        format.as_str()
                    ),
                ));
            }
        }
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), ConnectorError> {
    if depth > limits::FOLDER_DEPTH_MAX {
        let message = format!("`{}` is deeper than {} folders", folder.display(), limits::FOLDER_DEPTH_MAX);
        return Err(ConnectorError::config("path", message));
    }
    for child in children(folder)? {
        if is_folder(&child)? {
            walk(&child, depth + 1, files)?;
        } else {
            files.push(child);
        }
    }
    Ok(())
}

/// What is in a folder, sorted; names with a leading dot or underscore are other programs' own.
fn children(folder: &Path) -> Result<Vec<PathBuf>, ConnectorError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| io_error(folder, &error))? {
        let path = entry.map_err(|error| io_error(folder, &error))?.path();
        if !file_name(&path)?.starts_with(['.', '_']) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_folder(path: &Path) -> Result<bool, ConnectorError> {
    Ok(fs::metadata(path).map_err(|error| io_error(path, &error))?.is_dir())
}

fn file_name(path: &Path) -> Result<&str, ConnectorError> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| not_unicode(path))
}

fn stem(path: &Path) -> Result<String, ConnectorError> {
    path.file_stem().and_then(|name| name.to_str()).map(str::to_owned).ok_or_else(|| not_unicode(path))
}

fn not_unicode(path: &Path) -> ConnectorError {
    ConnectorError::config("path", format!("the name of `{}` is not Unicode", path.display()))
}

/// An error of the file system that names the file.
pub fn io_error(path: &Path, error: &std::io::Error) -> ConnectorError {
    let message = format!("`{}`: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::NotFound => ConnectorError::config("path", message).with_code("file_not_found"),
        std::io::ErrorKind::PermissionDenied => ConnectorError::permission("permission_denied", message),
        _ => ConnectorError::internal("io", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &Path, rest: serde_json::Value) -> Config {
        let mut json = serde_json::json!({ "path": path.to_str().unwrap() });
        json.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        rapidbyte_sdk::config::parse(&json.to_string()).unwrap()
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn names(
        folder: &tempfile::TempDir,
        rest: serde_json::Value,
    ) -> Vec<(String, &'static str, Vec<String>)> {
        list(&config(folder.path(), rest))
            .unwrap()
            .into_iter()
            .map(|stream| {
                let relative =
                    |file: &PathBuf| file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
                (stream.name, stream.format.as_str(), stream.files.iter().map(relative).collect())
            })
            .collect()
    }

    #[test]
    fn files_and_sub_folders_are_streams() {
        let folder = folder(&[
            "orders.csv",
            "customers.jsonl",
            "events/2.parquet",
            "events/1/x.parquet",
            "readme.md",
            ".hidden.csv",
            "_rapidbyte/receipts/a.jsonl",
            "notes/readme.md",
        ]);
        assert_eq!(
            names(&folder, serde_json::json!({})),
            [
                ("customers".into(), "jsonl", vec!["customers.jsonl".into()]),
                ("events".into(), "parquet", vec!["events/1/x.parquet".into(), "events/2.parquet".into()]),
                ("orders".into(), "csv", vec!["orders.csv".into()]),
            ]
        );
        let jsonl = names(&folder, serde_json::json!({ "format": "jsonl" }));
        assert_eq!(jsonl, [("customers".into(), "jsonl", vec!["customers.jsonl".into()])]);
    }

    #[test]
    fn a_single_file_is_one_stream() {
        let folder = folder(&["orders.csv", "data"]);
        let single = list(&config(&folder.path().join("orders.csv"), serde_json::json!({}))).unwrap();
        assert_eq!((single[0].name.as_str(), single[0].format), ("orders", FileFormat::Csv));
        let unknown = config(&folder.path().join("data"), serde_json::json!({}));
        assert!(list(&unknown).unwrap_err().message.contains("`format`"));
        let said = config(&folder.path().join("data"), serde_json::json!({ "format": "jsonl" }));
        assert_eq!(list(&said).unwrap()[0].format, FileFormat::Jsonl);
    }

    #[test]
    fn mapped_streams_take_files_folders_and_patterns() {
        let folder = folder(&[
            "2024/orders-1.csv",
            "2024/orders-2.csv",
            "2025/orders-1.csv",
            "raw/dump.txt",
            "other.csv",
        ]);
        let streams = serde_json::json!({ "streams": [
            { "name": "orders", "files": "20??/orders-*.csv" },
            { "name": "dump", "files": "raw", "format": "jsonl" },
        ]});
        assert_eq!(
            names(&folder, streams),
            [
                ("dump".into(), "jsonl", vec!["raw/dump.txt".into()]),
                (
                    "orders".into(),
                    "csv",
                    vec!["2024/orders-1.csv".into(), "2024/orders-2.csv".into(), "2025/orders-1.csv".into()]
                ),
            ]
        );
        let nothing =
            config(folder.path(), serde_json::json!({ "streams": [{ "name": "x", "files": "*.parquet" }] }));
        assert!(list(&nothing).unwrap_err().message.contains("`streams[0].files`"));
    }

    #[test]
    fn refuses_two_things_of_one_name_and_mixed_formats() {
        let same = folder(&["orders.csv", "orders.jsonl"]);
        let error = list(&config(same.path(), serde_json::json!({}))).unwrap_err();
        assert!(
            error.message.contains("orders.csv") && error.message.contains("orders.jsonl"),
            "{}",
            error.message
        );
        let mixed = folder(&["orders/1.csv", "orders/2.jsonl"]);
        let error = list(&config(mixed.path(), serde_json::json!({}))).unwrap_err();
        assert!(error.message.contains("two formats"), "{}", error.message);
    }

    #[test]
    fn names_what_is_not_there() {
        let folder = folder(&["orders.csv"]);
        let error = find(&config(folder.path(), serde_json::json!({})), "order").unwrap_err();
        assert_eq!(error.code, "stream_not_found");
        let error = list(&config(&folder.path().join("nowhere"), serde_json::json!({}))).unwrap_err();
        assert_eq!(error.code, "file_not_found");
        assert!(error.message.contains("nowhere"));
    }
}
