//! Files of a checkpoint: mapped, or in memory from the start.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dewdrop_backend::Blocks;
use memmap2::Mmap;

use crate::StoreError;

/// One file's bytes, shared without copies.
pub(crate) struct Source {
    path: PathBuf,
    blocks: Blocks,
    /// Kept to see changes and to read without the map; none if the bytes never were in a file.
    file: Option<Mutex<File>>,
}

impl Source {
    /// Maps a file.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { path: path.to_owned(), source };
        // Asked before opening: opening a pipe would wait for its writer.
        let metadata = fs::metadata(path).map_err(open_error)?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile { path: path.to_owned() });
        }
        if metadata.len() == 0 {
            return Err(StoreError::Empty { path: path.to_owned() });
        }
        let file = File::open(path).map_err(open_error)?;
        let map = map(&file).map_err(open_error)?;
        let source = Source {
            path: path.to_owned(),
            blocks: Blocks::new(Arc::new(map)),
            file: Some(Mutex::new(file)),
        };
        source.check_unchanged()?;
        Ok(source)
    }

    /// Takes bytes that are in memory; `name` stands for a path in messages.
    pub(crate) fn from_memory(name: &str, blocks: Blocks) -> Self {
        Source { path: PathBuf::from(name), blocks, file: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &Blocks {
        &self.blocks
    }

    pub(crate) fn len(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// An error if the file's length is not that of the map, so that the map may reach beyond the file.
    pub(crate) fn check_unchanged(&self) -> Result<(), StoreError> {
        let Some(file) = self.file() else { return Ok(()) };
        let metadata =
            file.metadata().map_err(|source| StoreError::Open { path: self.path.clone(), source })?;
        if metadata.len() == self.len() {
            return Ok(());
        }
        Err(StoreError::Changed { path: self.path.clone(), found: metadata.len(), expected: self.len() })
    }

    /// Copies `out.len()` bytes at `offset`, through a read rather than the map: a file that shrank is then an error
    /// and not a signal, and the pages do not count twice.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let Some(mut file) = self.file() else {
            let start = offset as usize;
            out.copy_from_slice(&self.blocks[start..start + out.len()]);
            return Ok(());
        };
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(out))
            .map_err(|source| StoreError::Read { path: self.path.clone(), offset, len: out.len(), source })
    }

    /// Locked, because reads move the file's cursor.
    fn file(&self) -> Option<MutexGuard<'_, File>> {
        self.file.as_ref().map(|file| file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is only ever read. Its bytes stay what they are unless another process truncates or rewrites the
    // file meanwhile, which no call can prevent portably; `Checkpoint::open` tells users not to, and the length is
    // checked again after mapping and before a section's weights are first handed over.
    unsafe { Mmap::map(file) }
}
