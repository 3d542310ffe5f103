//! A reader that misbehaves as disks and systems do.

use std::io;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use crate::stream::PAGE;
use crate::stream::reader::{Completion, Reader, Request};

/// What goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Reads bring less than was asked for.
    Short,
    /// Reads take their time.
    Slow,
    /// Reads with these numbers, counted from 0, fail.
    Attempts(Range<usize>),
}

pub(super) struct Faulty {
    inner: Box<dyn Reader>,
    fault: Fault,
    n_completed: usize,
}

impl Faulty {
    pub(super) fn new(inner: Box<dyn Reader>, fault: Fault) -> Self {
        Faulty { inner, fault, n_completed: 0 }
    }

    fn spoil(&mut self, mut completion: Completion) -> Completion {
        let n = self.n_completed;
        self.n_completed += 1;
        match &self.fault {
            Fault::Short => (),
            Fault::Slow => thread::sleep(Duration::from_millis(2)),
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
        if matches!(self.fault, Fault::Short) {
            request.len = (request.len / 2).next_multiple_of(PAGE);
        }
        // SAFETY: by the caller; it asks for no more than before.
        unsafe { self.inner.submit(request) };
    }

    fn poll(&mut self) -> Option<Completion> {
        let completion = self.inner.poll()?;
        Some(self.spoil(completion))
    }

    fn complete(&mut self) -> Completion {
        let completion = self.inner.complete();
        self.spoil(completion)
    }
}
