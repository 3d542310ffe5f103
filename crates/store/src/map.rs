//! Files of a checkpoint: mapped, or in memory from the start.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use dewdrop_backend::Blocks;
use memmap2::Mmap;

use crate::StoreError;

/// One file's bytes, shared without copies.
pub(crate) struct Source {
    path: PathBuf,
    blocks: Blocks,
    /// None if the bytes never were in a file.
    file: Option<Opened>,
    is_in_program: bool,
}

/// A file as it was when it was opened: kept to see changes and to read without the map.
struct Opened {
    file: File,
    /// To take its pages out of memory, where the system has a word for that.
    #[cfg(unix)]
    map: Arc<Mmap>,
    /// None where the file system does not say.
    modified: Option<SystemTime>,
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
        let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
        let map = Arc::new(map(&file).map_err(open_error)?);
        let source = Source {
            path: path.to_owned(),
            blocks: Blocks::new(map.clone()),
            file: Some(Opened {
                file,
                #[cfg(unix)]
                map,
                modified,
            }),
            is_in_program: false,
        };
        source.check_unchanged()?;
        Ok(source)
    }

    /// Takes bytes that are in memory; `name` stands for a path in messages.
    pub(crate) fn from_memory(name: &str, blocks: Blocks) -> Self {
        Source { path: PathBuf::from(name), blocks, file: None, is_in_program: false }
    }

    /// Takes bytes that are a part of the program.
    pub(crate) fn from_program(name: &str, bytes: &'static [u8]) -> Self {
        Source { is_in_program: true, ..Source::from_memory(name, Blocks::new(Arc::new(bytes))) }
    }

    /// Whether the bytes are a part of the program.
    pub(crate) fn is_in_program(&self) -> bool {
        self.is_in_program
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

    /// The open file; none if the bytes never were in one.
    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref().map(|opened| &opened.file)
    }

    /// An error if the file has another length than the map, so that the map may reach beyond it, or was written since.
    pub(crate) fn check_unchanged(&self) -> Result<(), StoreError> {
        let Some(Opened { file, modified, .. }) = &self.file else { return Ok(()) };
        let metadata: Metadata =
            file.metadata().map_err(|source| StoreError::Open { path: self.path.clone(), source })?;
        if metadata.len() != self.len() {
            let (path, found, expected) = (self.path.clone(), metadata.len(), self.len());
            return Err(StoreError::Changed { path, found, expected });
        }
        if metadata.modified().ok() != *modified {
            return Err(StoreError::Rewritten { path: self.path.clone() });
        }
        Ok(())
    }

    /// Takes the map's pages out of this process's memory; they come back from the file when they are looked at.
    pub(crate) fn forget_pages(&self) {
        #[cfg(unix)]
        if let Some(Opened { map, .. }) = &self.file {
            // SAFETY: pages of a map that is only read come back with the same bytes. A refusal leaves them where they are.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }

    /// Copies bytes at `offset`, as many as there are up to `out.len()`, through a read rather than the map: a file that
    /// shrank is then no signal, and the pages do not count twice. Yields how many.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        match self.file() {
            Some(file) => read_at(file, offset, out),
            None => {
                let rest = usize::try_from(offset).ok().and_then(|offset| self.blocks.get(offset..));
                let rest = rest.unwrap_or_default();
                let n = rest.len().min(out.len());
                out[..n].copy_from_slice(&rest[..n]);
                Ok(n)
            }
        }
    }

    /// As [`read_at`](Source::read_at), until `out` is full.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let mut done = 0;
        while done < out.len() {
            let result = match self.read_at(offset + done as u64, &mut out[done..]) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                result => result,
            };
            let path = || self.path.clone();
            done +=
                result.map_err(|source| StoreError::Read { path: path(), offset, len: out.len(), source })?;
        }
        Ok(())
    }
}

/// Reads at an offset, without a cursor.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, offset: u64, out: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, offset)
}

/// Reads at an offset. The cursor moves, but nobody looks at it.
#[cfg(windows)]
pub(crate) fn read_at(file: &File, offset: u64, out: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, offset)
}

fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is only ever read. Its bytes stay what they are unless another process truncates or rewrites the
    // file meanwhile, which no call can prevent portably; `Checkpoint::open` tells users not to, and length and time of
    // the last change are checked again after mapping and before a section's weights are first handed over.
    let map = unsafe { Mmap::map(file) }?;
    // A page fault then reads two megabytes and asks for the next two, into huge pages where the file system has them in
    // its cache, whatever the system reads ahead else. Only speed depends on it.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}
