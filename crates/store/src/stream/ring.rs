//! Reads by the kernel's own queue, io_uring: no thread of ours waits or is woken for one.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::{IoUring, Probe, opcode, squeue, types};

use super::file::ReadFile;
use super::reader::{Completion, IN_FLIGHT, Reader, Request};
use super::region::{HUGE_PAGE, Part};

/// Reads handed to the kernel at once.
const DEPTH: u32 = 64;

/// A ring, for files that all take direct reads.
pub(crate) struct Ring {
    ring: IoUring,
    files: Arc<[ReadFile]>,
    /// Submitted to us, not yet to the kernel.
    waiting: VecDeque<Request>,
    /// Bytes of reads that the kernel has, by tag.
    in_flight: HashMap<u64, usize>,
    /// Address and length of the memory that the kernel knows, as its buffer 0.
    registered: Option<(usize, usize)>,
}

impl Ring {
    /// None where the kernel has no rings or does not let us have one, and where a file would go through the page
    /// cache: rings read that with threads of the kernel's, no better than ours.
    pub(crate) fn new(files: &Arc<[ReadFile]>) -> Option<Ring> {
        if files.iter().any(|file| file.direct().is_none()) {
            return None;
        }
        let ring = IoUring::new(DEPTH).ok()?;
        // The first kernels with rings only read into registered memory and into lists of buffers.
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).ok()?;
        if ![opcode::Read::CODE, opcode::ReadFixed::CODE].into_iter().all(|code| probe.is_supported(code)) {
            return None;
        }
        Some(Ring {
            ring,
            files: files.clone(),
            waiting: VecDeque::new(),
            in_flight: HashMap::new(),
            registered: None,
        })
    }

    /// Hands as much to the kernel as it takes at once.
    fn push_waiting(&mut self) {
        let has_room = |ring: &Ring| {
            ring.in_flight.len() < DEPTH as usize && ring.in_flight.values().sum::<usize>() < IN_FLIGHT
        };
        let mut has_pushed = false;
        while has_room(self) {
            let Some(request) = self.waiting.pop_front() else { break };
            let entry = self.entry(&request);
            // SAFETY: file and memory outlive the read: the ring holds the files, `submit`'s contract is about the
            // memory, and drop waits. There is room, because entries leave the queue with each `enter`.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.expect("a queue of as many entries as reads in flight");
            self.in_flight.insert(request.tag, request.len);
            has_pushed = true;
        }
        if has_pushed {
            self.enter(0);
        }
    }

    fn entry(&self, request: &Request) -> squeue::Entry {
        let file = self.files[request.file].direct().expect("checked for all files");
        let fd = types::Fd(file.as_raw_fd());
        let len = u32::try_from(request.len).expect("reads are a few MiB");
        let start = request.into.addr();
        let is_registered =
            self.registered.is_some_and(|(at, n)| start >= at && start + request.len <= at + n);
        let entry = if is_registered {
            opcode::ReadFixed::new(fd, request.into, len, 0).offset(request.offset).build()
        } else {
            opcode::Read::new(fd, request.into, len).offset(request.offset).build()
        };
        entry.user_data(request.tag)
    }

    /// Tells the kernel about new reads, and waits until it has finished `n_wanted`.
    fn enter(&mut self, n_wanted: usize) {
        loop {
            match self.ring.submit_and_wait(n_wanted) {
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // Out of memory or room just now: what is done makes some.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => {
                    if !self.ring.completion().is_empty() || n_wanted == 0 {
                        return;
                    }
                    std::thread::yield_now();
                }
                Err(error) => panic!("io_uring_enter: {error}, which no use of ours can cause"),
            }
        }
    }
}

impl Reader for Ring {
    fn name(&self) -> &'static str {
        if self.registered.is_some() { "io_uring, registered buffers" } else { "io_uring" }
    }

    /// The kernel keeps a buffer of huge pages alone as few long pieces, any other as pages of 4 KiB, of which a disk takes
    /// fewer at once: so the end of the memory that is no whole huge page is left out.
    fn register(&mut self, part: &mut Part) {
        let n_huge = part.len() / HUGE_PAGE * HUGE_PAGE;
        let len = if n_huge > 0 { n_huge } else { part.len() };
        let buffer = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: len };
        // SAFETY: the memory stays mapped while reads go there, by `submit`'s contract; an idle registration only keeps
        // its pages.
        let registered = unsafe { self.ring.submitter().register_buffers(&[buffer]) };
        // Refused where little memory may be locked: plain reads do as well.
        if registered.is_ok() {
            self.registered = Some((part.as_mut_ptr().addr(), len));
        }
    }

    fn unregister(&mut self) {
        if self.registered.take().is_some() {
            let unregistered = self.ring.submitter().unregister_buffers();
            unregistered.expect("buffers that were registered, and no read under way");
        }
    }

    unsafe fn submit(&mut self, request: Request) {
        if request.urgent {
            self.waiting.push_front(request);
        } else {
            self.waiting.push_back(request);
        }
        self.push_waiting();
    }

    fn poll(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        self.in_flight.remove(&entry.user_data());
        if !self.waiting.is_empty() {
            self.push_waiting();
        }
        let result = usize::try_from(entry.result());
        let result = result.map_err(|_| io::Error::from_raw_os_error(-entry.result()));
        Some(Completion { tag: entry.user_data(), result })
    }

    fn complete(&mut self) -> Completion {
        loop {
            if let Some(completion) = self.poll() {
                return completion;
            }
            self.push_waiting();
            self.enter(1);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.waiting.clear();
        while !self.in_flight.is_empty() {
            self.complete();
        }
    }
}
