//! Checksums beside a model's files: written, and compared with all that the files hold.

use std::ops::ControlFlow;
use std::path::PathBuf;

use dewdrop::Checkpoint;
use dewdrop_store::{Checksums, Damage, StoreError, sidecar_path};

use crate::OutputError;
use crate::output::write_text;

/// Hears how many bytes of how many are read; may end the work.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// A file that was compared with its checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Bytes that were compared.
    pub bytes: u64,
    /// What differs.
    pub damages: Vec<Damage>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum VerifyError {
    /// A file or its checksums cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Checksums cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file has no checksums.
    #[error("{path}: no checksums beside it (`dewdrop verify --write` makes them)", path = path.display())]
    NoChecksums { path: PathBuf },
    /// It was asked to end.
    #[error("cancelled")]
    Cancelled,
}

/// Compares all that a model's files hold with the checksums beside them.
///
/// # Errors
/// If a file has none, or they are of another file, or something cannot be read.
pub fn verify(checkpoint: &Checkpoint, progress: Progress<'_>) -> Result<Vec<FileReport>, VerifyError> {
    let mut all = Vec::new();
    for (file, path) in checkpoint.files().enumerate() {
        let checksums = Checksums::read(checkpoint, file)?;
        all.push(checksums.ok_or_else(|| VerifyError::NoChecksums { path: path.to_owned() })?);
    }
    let total = all.iter().map(Checksums::n_bytes).sum();
    let mut count = counter(total, progress);
    let mut reports = Vec::new();
    for ((file, path), checksums) in checkpoint.files().enumerate().zip(&all) {
        let damages = checksums.damages(checkpoint, file, &mut count)?.ok_or(VerifyError::Cancelled)?;
        reports.push(FileReport { path: path.to_owned(), bytes: checksums.n_bytes(), damages });
    }
    Ok(reports)
}

/// Writes checksums beside each of a model's files, in place of those that are there. Each sidecar appears whole or not at
/// all. Yields their paths.
///
/// # Errors
/// If a file cannot be read or a sidecar not be written.
pub fn write(checkpoint: &Checkpoint, progress: Progress<'_>) -> Result<Vec<PathBuf>, VerifyError> {
    let mut count = counter(checkpoint.total_bytes(), progress);
    let mut written = Vec::new();
    for (file, path) in checkpoint.files().enumerate() {
        let checksums = Checksums::compute(checkpoint, file, &mut count)?.ok_or(VerifyError::Cancelled)?;
        let sidecar = sidecar_path(path);
        let text = checksums.to_json();
        write_text(&sidecar, &text)?;
        written.push(sidecar);
    }
    Ok(written)
}

/// Turns bytes that were read since the last time into bytes of the whole.
fn counter(total: u64, progress: Progress<'_>) -> impl FnMut(u64) -> ControlFlow<()> {
    let mut done = 0;
    move |bytes| {
        done += bytes;
        progress(done, total)
    }
}
