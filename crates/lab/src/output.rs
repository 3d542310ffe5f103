//! A file that appears whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The operating system refused something about a file that is being written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {action} failed", path = path.display())]
#[expect(missing_docs, reason = "the message says what its fields are")]
pub struct OutputError {
    pub path: PathBuf,
    pub action: &'static str,
    pub source: io::Error,
}

/// Bytes that are written at a time, from multiples of them on: a huge page of the system's cache, where it has those. A map of
/// the file takes one at a page fault, so that a model that was just written starts sooner.
const STEP: usize = 2 << 20;

/// Lets `write` fill a new file, and gives it the name `path` once it is complete and safe on its medium.
///
/// The new file lies in the folder of `path` meanwhile, since only names within one file system can change at once.
pub(crate) fn write_atomically<E: From<OutputError>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |action| move |source| OutputError { path: path.to_owned(), action, source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = new_file(folder).map_err(failed("creating a file beside it"))?;
    let mut steps = InSteps { file: file.as_file_mut(), step: Vec::with_capacity(STEP) };
    write(&mut steps)?;
    steps.flush().map_err(failed("writing"))?;
    file.as_file().sync_all().map_err(failed("syncing"))?;
    file.persist(path).map_err(|error| failed("renaming the complete file to this name")(error.error))?;
    Ok(sync_folder(folder).map_err(failed("syncing its folder"))?)
}

/// Gathers bytes until there are [`STEP`] of them.
struct InSteps<W> {
    file: W,
    step: Vec<u8>,
}

impl<W: Write> Write for InSteps<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(STEP - self.step.len());
        self.step.extend_from_slice(&bytes[..n]);
        if self.step.len() == STEP {
            self.flush()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.step)?;
        self.step.clear();
        self.file.flush()
    }
}

/// Makes a file of a text, which appears whole or not at all.
///
/// # Errors
/// Those of the file system; there is no file then, or the one that was there.
pub fn write_text(path: &Path, text: &str) -> Result<(), OutputError> {
    let failed = |source| OutputError { path: path.to_owned(), action: "writing", source };
    write_atomically(path, |file| file.write_all(text.as_bytes()).map_err(failed))
}

/// A temporary file with the rights of ordinary files: it is going to be one.
fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".dewdrop-");
    #[cfg(unix)]
    {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes the new name last. Only Unix lets folders be opened for that; elsewhere names last on their own.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::convert::ConvertError;

    fn names(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs::write(&path, "before").unwrap();
        let result = write_atomically(&path, |file| {
            file.write_all(&[0; 3 << 20]).unwrap();
            Err(ConvertError::Cancelled)
        });
        assert!(matches!(result, Err(ConvertError::Cancelled)));
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["model.gguf".into()], b"before".to_vec())
        );
    }

    #[test]
    fn a_complete_write_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs::write(&path, "before").unwrap();
        write_atomically(&path, |file| {
            file.write_all(b"after").unwrap();
            Ok::<_, ConvertError>(())
        })
        .unwrap();
        assert_eq!(
            (names(folder.path()), fs::read(&path).unwrap()),
            (vec!["model.gguf".into()], b"after".to_vec())
        );
    }

    #[test]
    fn bytes_stay_in_order_over_steps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let bytes: Vec<u8> = (0..2 * STEP + 12_345).map(|i| (i / 7) as u8).collect();
        write_atomically(&path, |file| {
            let (first, rest) = bytes.split_at(STEP - 1);
            first.chunks(99_999).chain([rest]).for_each(|part| file.write_all(part).unwrap());
            Ok::<_, ConvertError>(())
        })
        .unwrap();
        assert!(fs::read(&path).unwrap() == bytes);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error =
            write_atomically(Path::new("/nowhere/model.gguf"), |_| Ok::<_, OutputError>(())).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/model.gguf: creating a file beside it failed");
    }
}
