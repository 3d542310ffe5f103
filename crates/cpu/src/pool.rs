//! Threads that share out the tasks of one operation after another.
//!
//! A pass is some hundreds of short operations, so starting one must cost about a microsecond, not a system call:
//! workers spin for a moment after their last task before they sleep. Each has a share of neighbouring tasks, so that
//! what one task reads follows in memory what the task before it has read, and asking ahead reaches over a task's end.
//! And no operation may wait for a worker that the system has put aside: whoever has done its share, the caller
//! included, takes the later half of another's tasks, and the caller waits only for workers that have joined in. So more
//! threads than cores work, only slower.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::{Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dewdrop_backend::BackendError;

/// How long a worker looks for the next operation before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// A worker takes one of so many parts of what is left of its share at a time.
const PART: usize = 4;

/// More threads than that only wait for each other.
const MOST_THREADS: usize = 1024;

/// What a worker does for some neighbouring tasks.
type Work<'a> = dyn Fn(usize, Range<usize>) + Sync + 'a;

/// Some threads, started once.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// An error if there are to be more threads than help on any machine.
pub fn check_threads(asked: usize) -> Result<(), BackendError> {
    if asked > MOST_THREADS { Err(BackendError::Threads { asked, most: MOST_THREADS }) } else { Ok(()) }
}

impl Pool {
    /// A pool in which `threads` threads work, one of them the caller's own.
    ///
    /// # Errors
    /// If there are to be too many, or the system does not start them.
    pub(crate) fn new(threads: usize) -> Result<Self, BackendError> {
        check_threads(threads)?;
        let shared =
            Shared { shares: (0..threads.max(1)).map(|_| Share::default()).collect(), ..Shared::default() };
        let mut pool = Pool { shared: Arc::new(shared), workers: Vec::new() };
        for worker in 1..threads {
            let shared = pool.shared.clone();
            let builder = thread::Builder::new().name(format!("dewdrop-{worker}"));
            let spawned = builder.spawn(move || shared.work(worker));
            pool.workers.push(spawned.map_err(|source| BackendError::Thread {
                asked: threads,
                started: worker,
                source,
            })?);
        }
        Ok(pool)
    }

    /// Threads that take tasks, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(worker, i)` once for each `i` below `n_tasks`, on all threads, and returns when all are done.
    /// `worker` is below [`Pool::threads`], and no two calls with the same one overlap.
    ///
    /// # Panics
    /// If a task does, with its message, after all threads have left their tasks.
    pub(crate) fn run(&mut self, n_tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        self.run_ranges(n_tasks, 1..=1, &|worker, tasks| tasks.for_each(|i| task(worker, i)));
    }

    /// Calls `work(worker, tasks)` for ranges that make up `0..n_tasks`, otherwise as [`run`](Pool::run). Of several threads each
    /// begins with long ones, since beginning one has its cost, and ends with short ones, so that all are done at about the same
    /// time: within `lengths`, but for the last of a share.
    pub(crate) fn run_ranges(&mut self, n_tasks: usize, lengths: RangeInclusive<usize>, work: &Work<'_>) {
        if n_tasks == 0 {
            return;
        }
        if n_tasks == 1 || self.workers.is_empty() {
            return work(0, 0..n_tasks);
        }
        let (least, most) = lengths.into_inner();
        let job = Job { work, least, most };
        self.shared.open(job, n_tasks);
        self.shared.take_tasks(0, job);
        self.shared.close();
        if let Some(panic) = lock(&self.shared.panic).take() {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.fetch_or(STOP, Ordering::SeqCst);
        self.shared.wake();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so it cannot have died of one.
            let _ = worker.join();
        }
    }
}

/// Bits of [`Shared::state`]: workers in the present job, then two flags, then the number of the job.
const WORKERS: u64 = 0xffff;
const OPEN: u64 = 1 << 16;
const STOP: u64 = 1 << 17;
const JOB: u64 = 1 << 32;

/// What all workers do, and how many tasks each takes at a time.
#[derive(Clone, Copy)]
struct Job<'a> {
    work: &'a Work<'a>,
    least: usize,
    most: usize,
}

impl Job<'_> {
    /// Of so many that are left of a worker's share.
    fn n_taken(self, n_left: usize) -> usize {
        (n_left / PART).clamp(self.least, self.most).clamp(1, n_left)
    }
}

#[derive(Default)]
struct Shared {
    state: AtomicU64,
    /// Written only by the caller while the state is not open and counts no worker; read only by workers that it counts.
    job: UnsafeCell<Option<Job<'static>>>,
    /// Of each worker, the caller first. Full only while a job is open.
    shares: Vec<Share>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

// SAFETY: everything but `job` is Sync by itself; access to `job` is ordered by `state` as its comment says. The task
// that it points to is Sync, and lives until `close` has seen every joined worker leave.
unsafe impl Sync for Shared {}
// SAFETY: as above; the task may be used from any thread while the pointer is valid.
unsafe impl Send for Shared {}

/// Tasks that nobody has begun: the first of them, and in the upper half of the word the one after the last. On lines of
/// its own, since others look at it only when they have done theirs.
#[derive(Default)]
#[repr(align(128))]
struct Share(AtomicU64);

impl Share {
    fn fill(&self, tasks: Range<usize>) {
        self.0.store(Share::word(tasks), Ordering::Relaxed);
    }

    fn word(tasks: Range<usize>) -> u64 {
        let half = |i: usize| u64::from(u32::try_from(i).expect("fewer than 2^32 tasks"));
        half(tasks.end) << 32 | half(tasks.start)
    }

    /// Takes the first tasks, as many as `n_taken` says of so many.
    fn take(&self, n_taken: impl Fn(usize) -> usize) -> Option<Range<usize>> {
        let end = |tasks: &Range<usize>| tasks.start + n_taken(tasks.len());
        let before = self.change(|tasks| end(tasks)..tasks.end)?;
        Some(before.start..end(&before))
    }

    /// Takes the later half of another's tasks, if there are any; this share has none left.
    fn steal(&self, other: &Share) -> bool {
        let left = |tasks: &Range<usize>| tasks.start..tasks.start + tasks.len() / 2;
        let before = other.change(left);
        if let Some(tasks) = &before {
            self.fill(left(tasks).end..tasks.end);
        }
        before.is_some()
    }

    /// Leaves other tasks, if there are any, and yields those before. The word says all that is left, so an exchange is right
    /// whatever has happened since it was read.
    fn change(&self, left: impl Fn(&Range<usize>) -> Range<usize>) -> Option<Range<usize>> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let tasks = (word & u64::from(u32::MAX)) as usize..(word >> 32) as usize;
            if tasks.is_empty() {
                return None;
            }
            let after = Share::word(left(&tasks));
            match self.0.compare_exchange_weak(word, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(tasks),
                Err(now) => word = now,
            }
        }
    }
}

impl Shared {
    /// Publishes a job and wakes sleepers.
    fn open(&self, job: Job<'_>, n_tasks: usize) {
        // SAFETY: only the lifetime changes. Workers use the job while `state` counts them, and `close`, which
        // `Pool::run_ranges` calls before `job` can end (`take_tasks` does not unwind), waits until it counts none.
        let job = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        // SAFETY: the state is closed and counts no worker (`close` saw to it), and `Pool::run_ranges` has the pool for itself.
        unsafe { *self.job.get() = Some(job) };
        let first = |worker| worker * n_tasks / self.shares.len();
        for (worker, share) in self.shares.iter().enumerate() {
            share.fill(first(worker)..first(worker + 1));
        }
        // One addition: the next job's number, and the open bit, which was clear.
        self.state.fetch_add(JOB + OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
    }

    /// Lets no more workers in, and waits for those inside.
    fn close(&self) {
        let mut state = self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while state & WORKERS != 0 {
            // The worker may need this very core.
            if spins < 2000 {
                std::hint::spin_loop()
            } else {
                thread::yield_now()
            }
            spins += 1;
            state = self.state.load(Ordering::Acquire);
        }
        // SAFETY: as in `open`.
        unsafe { *self.job.get() = None };
    }

    /// Takes tasks until none is left, a worker's own first; keeps a panic for the caller.
    fn take_tasks(&self, worker: usize, job: Job<'_>) {
        let (others, own) = self.shares.split_at(worker);
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                while let Some(tasks) = own[0].take(|n_left| job.n_taken(n_left)) {
                    (job.work)(worker, tasks);
                }
                if !own[1..].iter().chain(others).any(|share| own[0].steal(share)) {
                    break;
                }
            }
        }));
        if let Err(panic) = result {
            // Nobody begins another task, but for what is being taken over this very moment.
            self.shares.iter().for_each(|share| share.fill(0..0));
            lock(&self.panic).get_or_insert(panic);
        }
    }

    /// A worker's life.
    fn work(&self, worker: usize) {
        let mut last = 0;
        while let Some(number) = self.await_job(last) {
            last = number;
            if !self.join(number) {
                continue;
            }
            // SAFETY: this worker has joined, so the caller neither changes the job nor lets the task end.
            let job = unsafe { *self.job.get() }.expect("an open job is there");
            self.take_tasks(worker, job);
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Joins the job of this number; false if it is closed.
    fn join(&self, number: u64) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while state / JOB == number && state & OPEN != 0 {
            match self.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// The number of an open job other than `last`; none when the pool ends. Spins, then sleeps.
    fn await_job(&self, last: u64) -> Option<u64> {
        let start = Instant::now();
        loop {
            for _ in 0..64 {
                match news(self.state.load(Ordering::Acquire), last) {
                    News::Job(number) => return Some(number),
                    News::Stop => return None,
                    News::Nothing => std::hint::spin_loop(),
                }
            }
            if start.elapsed() > SPIN {
                self.sleep(last);
            }
        }
    }

    /// Sleeps until there is news. The caller raises the state, then looks for sleepers; a sleeper says so, then looks
    /// at the state: one of the two sees the other (sequentially consistent), and the lock keeps the bell from ringing
    /// between a sleeper's look and its wait.
    fn sleep(&self, last: u64) {
        let mut bed = lock(&self.bed);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while matches!(news(self.state.load(Ordering::SeqCst), last), News::Nothing) {
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        let _bed = lock(&self.bed);
        self.bell.notify_all();
    }
}

enum News {
    Job(u64),
    Stop,
    Nothing,
}

fn news(state: u64, last: u64) -> News {
    match state {
        _ if state & STOP != 0 => News::Stop,
        _ if state & OPEN != 0 && state / JOB != last => News::Job(state / JOB),
        _ => News::Nothing,
    }
}

/// No code here panics while it holds a lock, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 9] {
            let mut pool = Pool::new(threads).unwrap();
            for n_tasks in [0, 1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..n_tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(n_tasks, &|worker, i| {
                    assert!(worker < threads);
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                pool.run_ranges(n_tasks, 3..=40, &|worker, tasks| {
                    assert!(worker < threads && !tasks.is_empty() && (threads == 1 || tasks.len() <= 40));
                    counts[tasks].iter().for_each(|count| _ = count.fetch_add(1, Ordering::Relaxed));
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 2));
            }
        }
    }

    #[test]
    fn too_many_threads_are_refused() {
        assert_eq!(Pool::new(0).unwrap().threads(), 1);
        let error = Pool::new(100_000).err().expect("a refusal");
        assert!(error.to_string().contains("100000 threads are too many (`-t`: at most 1024"), "{error}");
    }

    #[test]
    fn workers_are_never_two_at_a_time() {
        let mut pool = Pool::new(5).unwrap();
        let busy: Vec<Mutex<()>> = (0..5).map(|_| Mutex::new(())).collect();
        for _ in 0..200 {
            pool.run(50, &|worker, _| {
                let _own = busy[worker].try_lock().expect("nobody else has this number");
                std::hint::black_box(0);
            });
        }
    }

    #[test]
    fn work_done_after_sleep_is_seen() {
        let mut pool = Pool::new(3).unwrap();
        for round in 0..20 {
            let total = AtomicUsize::new(0);
            pool.run(64, &|_, i| {
                total.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(total.into_inner(), 64 * 63 / 2);
            if round % 4 == 0 {
                thread::sleep(SPIN * 10);
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let mut pool = Pool::new(4).unwrap();
        for bad in [0, 17, 63] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(64, &|_, i| assert_ne!(i, bad, "task {i} fails"));
            }));
            let panic = result.expect_err("the panic is handed on");
            let message = panic.downcast_ref::<String>().expect("a formatted message");
            assert!(message.contains(&format!("task {bad} fails")), "{message}");
            let total = AtomicUsize::new(0);
            pool.run(10, &|_, _| {
                total.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(total.into_inner(), 10);
        }
    }
}
