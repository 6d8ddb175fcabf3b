//! Fills the cache of a stream: batches into row groups of a temporary file, which counts from its commit on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::manifest::{self, DataFile, Manifest, io, sync_folder};
use super::{CacheError, CacheMode};
use crate::limits::{ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX};

/// The cache of one stream, for as long as a run fills it. One at a time: the run's claim on the stream sees to that.
pub struct StreamCache {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    manifest: Mutex<Manifest>,
}

impl Shared {
    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamCache {
    /// `resuming`: the reading goes on that an earlier run began. A new reading of a stream that is replaced starts empty
    /// beside what counts; of one that is appended to or merged it adds to what counts.
    pub fn open(
        cache: &Path,
        pipeline: &str,
        stream: &str,
        mode: CacheMode,
        resuming: bool,
    ) -> Result<StreamCache, CacheError> {
        let folder = manifest::folder(cache, pipeline, stream)?;
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        let mut manifest = match Manifest::load(&folder)? {
            Some(manifest) => manifest,
            None => Manifest::new(pipeline, stream, mode.clone()),
        };
        let mut dropped = std::mem::take(&mut manifest.retired);
        if !resuming || mode != CacheMode::Replace {
            dropped.append(&mut manifest.filling);
        }
        manifest.mode = mode;
        manifest.save(&folder)?;
        let shared = Arc::new(Shared { folder, manifest: Mutex::new(manifest) });
        remove(&shared.folder, &dropped);
        remove_leftovers(&shared.folder, &shared.manifest());
        Ok(StreamCache { shared })
    }

    /// Fills one partition. `committed` is the newest checkpoint that the run goes on from: what the cache has behind it will
    /// be read again and is dropped.
    pub fn writer(&self, partition: u32, committed: Option<u64>) -> Result<CacheWriter, CacheError> {
        let mut manifest = self.shared.manifest();
        let list =
            if manifest.mode == CacheMode::Replace { &mut manifest.filling } else { &mut manifest.files };
        let uncommitted = |it: &DataFile| it.partition == partition && Some(it.checkpoint) > committed;
        let (dropped, kept): (Vec<_>, Vec<_>) = list.drain(..).partition(uncommitted);
        *list = kept;
        if !dropped.is_empty() {
            manifest.save(&self.shared.folder)?;
            remove(&self.shared.folder, &dropped);
        }
        drop(manifest);
        Ok(CacheWriter { shared: Arc::clone(&self.shared), partition, open: None })
    }

    /// The reading has come to its end: of a stream that is replaced, what it filled counts from now on.
    pub fn complete(&self) -> Result<(), CacheError> {
        let mut manifest = self.shared.manifest();
        if manifest.mode == CacheMode::Replace {
            let filled = std::mem::take(&mut manifest.filling);
            let before = std::mem::replace(&mut manifest.files, filled);
            manifest.retired.extend(before);
        }
        manifest.save(&self.shared.folder)
    }
}

/// Removing is tidying: what stays is removed the next time.
fn remove(folder: &Path, files: &[DataFile]) {
    for file in files {
        let _ = fs::remove_file(file.path(folder));
    }
}

/// Files of a process that died between writing and naming them.
fn remove_leftovers(folder: &Path, manifest: &Manifest) {
    let named: Vec<PathBuf> =
        manifest.files.iter().chain(&manifest.filling).map(|it| it.path(folder)).collect();
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = path.extension().is_some_and(|it| it == "parquet" || it == "tmp");
        if ours && !named.contains(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Takes the batches of one partition, in order.
pub struct CacheWriter {
    shared: Arc<Shared>,
    partition: u32,
    open: Option<OpenFile>,
}

struct OpenFile {
    temporary: PathBuf,
    number: u64,
    schema: SchemaRef,
    records: u64,
    writer: ArrowWriter<File>,
    /// Earlier files of the same checkpoint, whose schema was another.
    earlier: Vec<(PathBuf, u64, u64)>,
}

impl CacheWriter {
    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), CacheError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let schema = batch.schema();
        let open = match self.open.take() {
            Some(open) if open.schema == schema => open,
            Some(open) => {
                let mut earlier = open.earlier.clone();
                let (temporary, number, records) = self.finish(open)?;
                earlier.push((temporary, number, records));
                self.begin(schema, earlier)?
            }
            None => self.begin(schema, Vec::new())?,
        };
        let open = self.open.insert(open);
        let result = open.writer.write(batch).and_then(|()| {
            // Rows alone do not bound what wide rows take until their group is written.
            if open.writer.in_progress_size() > ROW_GROUP_BYTES_MAX { open.writer.flush() } else { Ok(()) }
        });
        open.records += batch.num_rows() as u64;
        result.map_err(|error| self.parquet(error))
    }

    /// What was appended counts, together: before the destination is told of the checkpoint, so that neither can be ahead for
    /// longer than a resumed run takes to find out. Durable when it returns.
    pub fn commit(&mut self, checkpoint: u64) -> Result<(), CacheError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let mut finished = std::mem::take(&mut open.earlier);
        finished.push(self.finish(open)?);
        let folder = &self.shared.folder;
        let mut manifest = self.shared.manifest();
        for (temporary, number, records) in finished {
            let bytes = fs::metadata(&temporary).map_err(io(&temporary))?.len();
            let file = DataFile { number, partition: self.partition, checkpoint, records, bytes };
            fs::rename(&temporary, file.path(folder)).map_err(io(&temporary))?;
            let list =
                if manifest.mode == CacheMode::Replace { &mut manifest.filling } else { &mut manifest.files };
            list.push(file);
        }
        sync_folder(folder).map_err(io(folder))?;
        manifest.save(folder)
    }

    fn begin(&self, schema: SchemaRef, earlier: Vec<(PathBuf, u64, u64)>) -> Result<OpenFile, CacheError> {
        let mut manifest = self.shared.manifest();
        if let CacheMode::Upsert { key } = &manifest.mode
            && let Some(missing) = key.iter().find(|it| schema.index_of(it).is_err())
        {
            return Err(CacheError::NoKey { stream: manifest.stream.clone(), column: missing.clone() });
        }
        let number = manifest.take_number();
        drop(manifest);
        let temporary = self.shared.folder.join(format!("{number:08}.tmp"));
        let file = File::create(&temporary).map_err(io(&temporary))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(|error| {
            let _ = fs::remove_file(&temporary);
            self.parquet(error)
        })?;
        Ok(OpenFile { temporary, number, schema, records: 0, writer, earlier })
    }

    fn finish(&self, open: OpenFile) -> Result<(PathBuf, u64, u64), CacheError> {
        let file = open.writer.into_inner().map_err(|error| self.parquet(error))?;
        file.sync_all().map_err(io(&open.temporary))?;
        Ok((open.temporary, open.number, open.records))
    }

    fn parquet(&self, error: ParquetError) -> CacheError {
        let folder = &self.shared.folder;
        match error {
            ParquetError::External(error) => match error.downcast::<std::io::Error>() {
                Ok(error) => CacheError::Io { path: folder.clone(), error: *error },
                Err(other) => CacheError::Damaged { path: folder.clone(), message: other.to_string() },
            },
            other => CacheError::Unsupported {
                stream: self.shared.manifest().stream.clone(),
                message: other.to_string(),
            },
        }
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let _ = fs::remove_file(&open.temporary);
        for (temporary, ..) in &open.earlier {
            let _ = fs::remove_file(temporary);
        }
    }
}
