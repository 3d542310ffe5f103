//! What executes reads, several at a time.

use std::io;
use std::sync::Arc;

use super::file::ReadFile;
use super::region::Part;
use super::threads::Threads;

/// Bytes of reads that are handed to the system at once, about: what keeps a disk busy while a section computes, though it
/// finishes several at the same time. More would only stand before an urgent one.
pub const IN_FLIGHT: usize = 32 << 20;

/// A read of whole pages into memory.
#[derive(Debug)]
pub(crate) struct Request {
    /// What the requester knows it by.
    pub(crate) tag: u64,
    /// Index of the file.
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) into: *mut u8,
    pub(crate) len: usize,
    /// Someone waits for it; others are for later.
    pub(crate) urgent: bool,
}

// SAFETY: the memory belongs to whoever executes the request, on any thread, until it is completed.
unsafe impl Send for Request {}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) tag: u64,
    /// Bytes read; fewer than asked for at the end of a file, or because the system felt like it.
    pub(crate) result: io::Result<usize>,
}

/// Executes requests in any order. Dropping one waits for those under way.
pub(crate) trait Reader: Send {
    /// For people: `io_uring`.
    fn name(&self) -> &'static str;

    /// Learns of memory that many requests will read into.
    fn register(&mut self, _part: &mut Part) {}

    /// Forgets that memory, which is about to go.
    fn unregister(&mut self) {}

    /// Begins a read.
    ///
    /// # Safety
    /// `len` bytes at `into` can be written and nobody else uses them, until the request's completion was handed out or
    /// the reader is dropped.
    unsafe fn submit(&mut self, request: Request);

    /// The completion of some request, if there is one, without waiting.
    fn poll(&mut self) -> Option<Completion>;

    /// The completion of some request; waits for one. At least one has been submitted whose completion was not handed out.
    fn complete(&mut self) -> Completion;
}

/// The best reader for these files.
pub(crate) fn best(files: &Arc<[ReadFile]>) -> Box<dyn Reader> {
    #[cfg(target_os = "linux")]
    if let Some(ring) = super::ring::Ring::new(files) {
        return Box::new(ring);
    }
    Box::new(Threads::new(files.clone()))
}
