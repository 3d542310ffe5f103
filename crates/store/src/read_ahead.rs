//! Mapped files, brought into the page cache before they are looked at.
//!
//! Page faults read what they need and little more, one after another, so that a disk rests most of the time. A thread that
//! goes through the files in long reads keeps it busy, and has the system lay out its cache in huge pages, of which a map
//! takes two megabytes at a fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::stream::{Extent, Layout};
use crate::{Checkpoint, WeightSource};

/// A thread that reads ahead, until it is through or this is dropped.
pub(crate) struct ReadAhead {
    stop: Arc<AtomicBool>,
}

impl ReadAhead {
    /// Reads the sections' weights in the order in which they are handed over; but the first section, an embedding table
    /// of which a few rows are looked at, at the end. None where all is in memory.
    pub(crate) fn start(checkpoint: &Arc<Checkpoint>, sections: &[Vec<WeightSource>]) -> Option<Self> {
        if checkpoint.sources().iter().all(|source| source.file().is_none()) {
            return None;
        }
        let (checkpoint, stop) = (checkpoint.clone(), Arc::new(AtomicBool::new(false)));
        let in_order = sections.iter().skip(1).chain(sections.first());
        let extents: Vec<Extent> = in_order.flat_map(|section| Layout::new(section).extents).collect();
        let is_over = stop.clone();
        let read = move || {
            for extent in extents {
                let source = &checkpoint.sources()[extent.file];
                let end = source.len().min(extent.offset + extent.len as u64);
                // Who looks at them says what is wrong with the files.
                if system::read(source, extent.offset..end, &is_over).is_err() {
                    break;
                }
            }
        };
        // Where there is no thread to be had, page faults read.
        std::thread::Builder::new().name("dewdrop-read-ahead".into()).spawn(read).ok()?;
        Some(ReadAhead { stop })
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io;
    use std::ops::Range;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::map::Source;

    /// Bytes of a read: enough for a disk to be busy.
    const STEP: u64 = 8 << 20;
    /// One byte of so many tells whether they are in the cache.
    const PROBE: usize = 1 << 20;

    /// Reads these bytes of a file into the page cache, where they are not.
    pub(super) fn read(source: &Source, bytes: Range<u64>, is_over: &AtomicBool) -> io::Result<()> {
        // Of its own, since the system looks ahead by what was read of an open file, and a map reads by faults.
        let file = source.open_again(&mut File::options())?;
        let nowhere = File::options().write(true).open("/dev/null")?;
        for start in bytes.clone().step_by(STEP as usize) {
            if is_over.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let end = bytes.end.min(start + STEP);
            if !(start..end).step_by(PROBE).all(|at| is_cached(&file, at)) {
                pass_by(&file, &nowhere, start, end)?;
            }
        }
        Ok(())
    }

    /// Whether a byte can be read without the disk.
    fn is_cached(file: &File, at: u64) -> bool {
        let mut byte = 0u8;
        let room = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: the descriptor is open, and the one byte of `room` is ours to write.
        let n = unsafe { libc::preadv2(file.as_raw_fd(), &room, 1, at.cast_signed(), libc::RWF_NOWAIT) };
        n == 1
    }

    /// Has the system take the bytes into its cache and hand them on to where all bytes go: no copy is made.
    fn pass_by(file: &File, nowhere: &File, start: u64, end: u64) -> io::Result<()> {
        let mut at = start.cast_signed();
        while at < end.cast_signed() {
            let left = (end.cast_signed() - at) as usize;
            // SAFETY: both descriptors are open, and `at` is ours to write.
            match unsafe { libc::sendfile(nowhere.as_raw_fd(), file.as_raw_fd(), &mut at, left) } {
                1.. => {}
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => return Err(io::Error::last_os_error()),
            }
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use std::io::Write;

        use super::*;

        #[test]
        fn bytes_that_pass_by_are_cached() {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![7; 3 << 20]).unwrap();
            file.sync_all().unwrap();
            // SAFETY: the descriptor is open; nothing but the cache changes. A file system in memory keeps them.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            let nowhere = File::options().write(true).open("/dev/null").unwrap();
            pass_by(&file, &nowhere, 1000, 3 << 20).unwrap();
            assert!(is_cached(&file, 1 << 20) && is_cached(&file, (3 << 20) - 1));
            assert!(!is_cached(&file, 3 << 20), "there is no such byte");
            assert!(pass_by(&file, &nowhere, 0, 4 << 20).is_err(), "nor so many");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::ops::Range;
    use std::sync::atomic::AtomicBool;

    use crate::map::Source;

    /// Page faults read.
    pub(super) fn read(_: &Source, _: Range<u64>, _: &AtomicBool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
