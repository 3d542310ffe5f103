//! Files as the reader sees them: past the page cache where the system allows that.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::PAGE;
use super::region::Part;
use crate::Checkpoint;
use crate::map::{self, Source};

/// One of a checkpoint's files, for reading.
pub(crate) struct ReadFile {
    checkpoint: Arc<Checkpoint>,
    index: usize,
    /// The same file, opened to bypass the page cache.
    direct: Option<File>,
}

impl ReadFile {
    /// All files of a checkpoint.
    pub(crate) fn all(checkpoint: &Arc<Checkpoint>) -> Vec<ReadFile> {
        let file = |(index, source)| {
            let direct = direct(source);
            ReadFile { checkpoint: checkpoint.clone(), index, direct }
        };
        checkpoint.sources().iter().enumerate().map(file).collect()
    }

    pub(crate) fn source(&self) -> &Source {
        &self.checkpoint.sources()[self.index]
    }

    /// The file that bypasses the page cache, if there is one. Offset, length and memory of its reads are whole pages.
    pub(crate) fn direct(&self) -> Option<&File> {
        self.direct.as_ref()
    }

    /// Reads as much as there is up to `out.len()`, leaving nothing behind in the page cache.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        if let Some(file) = &self.direct {
            return map::read_at(file, offset, out);
        }
        let n = self.source().read_at(offset, out)?;
        self.drop_pages(offset, n);
        Ok(n)
    }

    /// Asks the system to keep none of what was read, which would take the place of what is in use.
    #[cfg(target_os = "linux")]
    fn drop_pages(&self, offset: u64, len: usize) {
        use std::os::fd::AsRawFd;

        let Some(file) = self.source().file() else { return };
        // SAFETY: the descriptor is open, and advice touches no memory. A system that refuses it keeps pages that it may
        // drop anyway.
        unsafe {
            libc::posix_fadvise(file.as_raw_fd(), offset.cast_signed(), len as i64, libc::POSIX_FADV_DONTNEED)
        };
    }

    #[cfg(not(target_os = "linux"))]
    fn drop_pages(&self, _offset: u64, _len: usize) {}
}

/// The file that is open, opened once more for direct reads. None where file system or memory do not take them.
#[cfg(target_os = "linux")]
fn direct(source: &Source) -> Option<File> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;

    // By descriptor and not by path, where another file may stand by now.
    let path = format!("/proc/self/fd/{}", source.file()?.as_raw_fd());
    let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
    reads_pages(&file).then_some(file)
}

/// The file, opened once more and told not to be cached.
#[cfg(target_os = "macos")]
fn direct(source: &Source) -> Option<File> {
    use std::os::fd::AsRawFd;

    let file = reopened(source, &mut File::options())?;
    // SAFETY: the descriptor is open, and the command takes a number.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_NOCACHE, 1) };
    (result != -1 && reads_pages(&file)).then_some(file)
}

/// The file, opened once more without the system's buffers.
#[cfg(windows)]
fn direct(source: &Source) -> Option<File> {
    use std::os::windows::fs::OpenOptionsExt;

    /// `FILE_FLAG_NO_BUFFERING`.
    const NO_BUFFERING: u32 = 0x2000_0000;
    let file = reopened(source, File::options().custom_flags(NO_BUFFERING))?;
    reads_pages(&file).then_some(file)
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn direct(_source: &Source) -> Option<File> {
    None
}

/// What stands under a source's path, if that is still the file that is open: the same length, and written when that was.
#[cfg(any(target_os = "macos", windows))]
fn reopened(source: &Source, options: &mut std::fs::OpenOptions) -> Option<File> {
    let file = options.read(true).open(source.path()).ok()?;
    let (found, open) = (file.metadata().ok()?, source.file()?.metadata().ok()?);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (found.dev(), found.ino()) != (open.dev(), open.ino()) {
            return None;
        }
    }
    let is_same = found.len() == open.len() && found.modified().ok() == open.modified().ok();
    is_same.then_some(file)
}

/// Whether a page can be read: some file systems refuse only then, and some devices want more than pages.
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
fn reads_pages(file: &File) -> bool {
    let Ok(mut page) = Part::new(PAGE) else { return false };
    // SAFETY: the page is this part's, and the part lives longer than the slice.
    let bytes = unsafe { std::slice::from_raw_parts_mut(page.as_mut_ptr(), PAGE) };
    map::read_at(file, 0, bytes).is_ok()
}
