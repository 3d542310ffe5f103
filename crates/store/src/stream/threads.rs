//! Reads by threads that wait for them, where the system has no queue of its own.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::file::ReadFile;
use super::reader::{Completion, Reader, Request};

/// Reads under way at once: enough to keep a disk busy, and more make some disks slower.
const N_THREADS: usize = 4;

/// A pool of threads, each with one read at a time.
pub(crate) struct Threads {
    queue: Arc<Queue>,
    completions: Receiver<Completion>,
    threads: Vec<JoinHandle<()>>,
    is_direct: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    closed: bool,
}

impl Threads {
    pub(crate) fn new(files: Arc<[ReadFile]>) -> Self {
        let queue = Arc::<Queue>::default();
        let (sender, completions) = mpsc::channel();
        let spawn = |_| {
            let (queue, files, sender) = (queue.clone(), files.clone(), sender.clone());
            thread::spawn(move || work(&queue, &files, &sender))
        };
        let threads = (0..N_THREADS).map(spawn).collect();
        let is_direct = files.iter().all(|file| file.direct().is_some());
        Threads { queue, completions, threads, is_direct }
    }
}

impl Reader for Threads {
    fn name(&self) -> &'static str {
        if self.is_direct { "threads, direct" } else { "threads, through the page cache" }
    }

    unsafe fn submit(&mut self, request: Request) {
        let mut state = self.queue.lock();
        if request.urgent {
            state.requests.push_front(request);
        } else {
            state.requests.push_back(request);
        }
        drop(state);
        self.queue.changed.notify_one();
    }

    fn poll(&mut self) -> Option<Completion> {
        self.completions.try_recv().ok()
    }

    fn complete(&mut self) -> Completion {
        self.completions.recv().expect("threads live as long as the pool")
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panicked thread has no read under way.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request; none once the queue is closed, whatever is left in it.
    fn next(&self) -> Option<Request> {
        let is_idle = |state: &mut State| state.requests.is_empty() && !state.closed;
        let guard = self.changed.wait_while(self.lock(), is_idle);
        let mut state = guard.unwrap_or_else(PoisonError::into_inner);
        if state.closed { None } else { state.requests.pop_front() }
    }
}

fn work(queue: &Queue, files: &[ReadFile], completions: &Sender<Completion>) {
    while let Some(Request { tag, file, offset, into, len, .. }) = queue.next() {
        // SAFETY: by the contract of `submit`, and bytes of a fresh map are initialized.
        let out = unsafe { std::slice::from_raw_parts_mut(into, len) };
        let result = files[file].read_at(offset, out);
        if completions.send(Completion { tag, result }).is_err() {
            return;
        }
    }
}
