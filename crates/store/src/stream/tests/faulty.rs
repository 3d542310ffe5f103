//! A reader that misbehaves as disks and systems do.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::thread;
use std::time::Instant;

use crate::stream::PAGE;
use crate::stream::reader::{Completion, Reader, Request};

/// What goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Reads bring less than was asked for.
    Short,
    /// Reads take so many times as long as they would.
    Slow(u32),
    /// Reads with these numbers, counted from 0, fail.
    Attempts(Range<usize>),
}

pub(super) struct Faulty {
    inner: Box<dyn Reader>,
    fault: Fault,
    n_completed: usize,
    /// Reads of a slow disk, and when they are done: one after another.
    slow: VecDeque<(Completion, Instant)>,
}

impl Faulty {
    pub(super) fn new(inner: Box<dyn Reader>, fault: Fault) -> Self {
        Faulty { inner, fault, n_completed: 0, slow: VecDeque::new() }
    }

    /// Reads at once, and keeps what came as long as `times` such reads take.
    unsafe fn read_slowly(&mut self, request: Request, times: u32) {
        let start = Instant::now();
        // SAFETY: by the caller.
        unsafe { self.inner.submit(request) };
        let completion = self.inner.complete();
        let free = self.slow.back().map_or(start, |(_, done)| start.max(*done));
        self.slow.push_back((completion, free + times * start.elapsed()));
    }

    fn spoil(&mut self, mut completion: Completion) -> Completion {
        let n = self.n_completed;
        self.n_completed += 1;
        match &self.fault {
            Fault::Short | Fault::Slow(_) => (),
            Fault::Attempts(numbers) if numbers.contains(&n) => {
                completion.result = Err(io::Error::from_raw_os_error(5));
            }
            Fault::Attempts(_) => (),
        }
        completion
    }
}

impl Reader for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    unsafe fn submit(&mut self, mut request: Request) {
        if let Fault::Slow(times) = self.fault {
            // SAFETY: by the caller.
            return unsafe { self.read_slowly(request, times) };
        }
        if matches!(self.fault, Fault::Short) {
            request.len = (request.len / 2).next_multiple_of(PAGE);
        }
        // SAFETY: by the caller; it asks for no more than before.
        unsafe { self.inner.submit(request) };
    }

    fn poll(&mut self) -> Option<Completion> {
        if !self.slow.is_empty() {
            return self.slow.pop_front_if(|(_, done)| *done <= Instant::now()).map(|(read, _)| read);
        }
        let completion = self.inner.poll()?;
        Some(self.spoil(completion))
    }

    fn complete(&mut self) -> Completion {
        if let Some((completion, done)) = self.slow.pop_front() {
            thread::sleep(done.saturating_duration_since(Instant::now()));
            return completion;
        }
        let completion = self.inner.complete();
        self.spoil(completion)
    }
}
