//! Reads of whole sections: cut up, tried again where they fail, put together again.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PAGE;
use super::file::ReadFile;
use super::layout::Extent;
use super::reader::{Completion, Reader, Request};
use super::region::Part;

/// Bytes of a read: more gains nothing, less costs bandwidth.
const READ: usize = 4 << 20;
/// How often a read may fail to bring anything before it has failed.
const ATTEMPTS: u32 = 4;
/// Between attempts; doubles each time.
const PAUSE: Duration = Duration::from_millis(5);

/// A transfer that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TransferId(u64);

/// Why a transfer failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) attempts: u32,
    pub(crate) source: io::Error,
}

/// All transfers under way.
pub(crate) struct Transfers {
    // First, so that it is dropped first and no read reaches memory that is gone.
    reader: Box<dyn Reader>,
    files: Arc<[ReadFile]>,
    reads: HashMap<u64, Read>,
    transfers: HashMap<TransferId, Transfer>,
    next: u64,
    bytes_read: u64,
    stalled: Duration,
}

struct Transfer {
    part: Part,
    reads_left: usize,
    failure: Option<Failure>,
}

/// A read under way.
struct Read {
    transfer: TransferId,
    file: usize,
    offset: u64,
    len: usize,
    /// Place in the transfer's part.
    at: usize,
    failed: u32,
    urgent: bool,
}

impl Transfers {
    pub(crate) fn new(reader: Box<dyn Reader>, files: Arc<[ReadFile]>) -> Self {
        let (reads, transfers) = Default::default();
        Transfers { reader, files, reads, transfers, next: 0, bytes_read: 0, stalled: Duration::ZERO }
    }

    pub(crate) fn reader_name(&self) -> &'static str {
        self.reader.name()
    }

    /// Learns of memory that many transfers will go to.
    pub(crate) fn register(&mut self, part: &mut Part) {
        self.reader.register(part);
    }

    /// Forgets the memory that it learned of. Nothing may be under way.
    pub(crate) fn unregister(&mut self) {
        assert!(self.reads.is_empty(), "{} reads under way", self.reads.len());
        self.reader.unregister();
    }

    /// Bytes that have arrived.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Time that [`finish`](Transfers::finish) has waited.
    pub(crate) fn stalled(&self) -> Duration {
        self.stalled
    }

    /// Begins to fill a part. `urgent`: someone waits for it already.
    pub(crate) fn start(&mut self, part: Part, extents: &[Extent], urgent: bool) -> TransferId {
        let id = TransferId(self.next_tag());
        self.transfers.insert(id, Transfer { part, reads_left: 0, failure: None });
        for extent in extents {
            for start in (0..extent.len).step_by(READ) {
                let (offset, at) = (extent.offset + start as u64, extent.at + start);
                let len = READ.min(extent.len - start);
                self.submit(Read { transfer: id, file: extent.file, offset, len, at, failed: 0, urgent });
            }
        }
        id
    }

    /// Waits until a transfer is done. Its part comes back whether it went well or not.
    ///
    /// # Panics
    /// If it was never begun or is finished already.
    pub(crate) fn finish(&mut self, id: TransferId) -> (Part, Result<(), Failure>) {
        let start = Instant::now();
        while self.transfers[&id].reads_left > 0 {
            let completion = self.reader.complete();
            self.take(completion);
        }
        self.stalled += start.elapsed();
        let Transfer { part, failure, .. } = self.transfers.remove(&id).expect("indexed above");
        (part, failure.map_or(Ok(()), Err))
    }

    /// Takes note of what has arrived, so that the next reads begin.
    pub(crate) fn poll(&mut self) {
        while let Some(completion) = self.reader.poll() {
            self.take(completion);
        }
    }

    fn next_tag(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn submit(&mut self, read: Read) {
        let tag = self.next_tag();
        let transfer = self.transfers.get_mut(&read.transfer).expect("a read belongs to a transfer");
        transfer.reads_left += 1;
        let Read { file, offset, len, at, urgent, .. } = read;
        assert!(at + len <= transfer.part.len(), "{len} bytes at {at} of a part of {}", transfer.part.len());
        // SAFETY: the place lies within the part, checked above. No one else uses it: reads of a transfer do not overlap,
        // and the part stays in the table until all of them are completed, or the reader, which is dropped first, is gone.
        unsafe {
            let into = transfer.part.as_mut_ptr().add(at);
            self.reader.submit(Request { tag, file, offset, into, len, urgent });
        }
        self.reads.insert(tag, read);
    }

    /// Goes on from a completed read: done, or the rest of it, or once more.
    fn take(&mut self, Completion { tag, result }: Completion) {
        let mut read = self.reads.remove(&tag).expect("readers complete what was submitted");
        let transfer = self.transfers.get_mut(&read.transfer).expect("it has reads left");
        transfer.reads_left -= 1;
        let wanted = self.wanted(&read);
        let error = match result {
            Ok(n) if n >= wanted => {
                self.bytes_read += wanted as u64;
                return;
            }
            // Direct reads can only go on from a page.
            Ok(n) if n >= PAGE => {
                let n = n / PAGE * PAGE;
                self.bytes_read += n as u64;
                (read.offset, read.at, read.len) = (read.offset + n as u64, read.at + n, read.len - n);
                return self.submit(read);
            }
            Ok(_) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) => error,
        };
        read.failed += 1;
        if read.failed < ATTEMPTS {
            std::thread::sleep(PAUSE * 2u32.pow(read.failed - 1));
            return self.submit(read);
        }
        let Read { file, offset, len, failed: attempts, .. } = read;
        let transfer = self.transfers.get_mut(&read.transfer).expect("it is not finished");
        transfer.failure = Some(Failure { file, offset, len, attempts, source: error });
    }

    /// Bytes that a read must bring: it may ask for more than the file's last page has.
    fn wanted(&self, read: &Read) -> usize {
        let rest = self.files[read.file].source().len().saturating_sub(read.offset);
        read.len.min(usize::try_from(rest).unwrap_or(usize::MAX))
    }
}
