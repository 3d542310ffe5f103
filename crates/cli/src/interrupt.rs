//! Ctrl-C and SIGTERM.
//!
//! While something can be stopped in order, the first signal asks for that and a second one leaves at once; at all
//! other times (reading a file, waiting for a line) the first one leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use dewdrop::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::outcome::INTERRUPTED;

/// How long a signal may go unnoticed: shorter than people notice.
const PERIOD: Duration = Duration::from_millis(20);

/// What signals have asked for.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    leave: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over both signals.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let interrupt = Self { asked: Arc::default(), leave: Arc::new(AtomicBool::new(true)) };
        for signal in [SIGINT, SIGTERM] {
            interrupt.take_over(signal).context("cannot watch for signals")?;
        }
        Ok(interrupt)
    }

    /// From here to the end of the guard's life, the first signal only sets `cancel` (and [`Interrupt::is_asked`]).
    pub(crate) fn stoppable(&self, cancel: &Cancel) -> Stoppable {
        cancel.reset();
        self.asked.store(false, Ordering::SeqCst);
        self.leave.store(false, Ordering::SeqCst);
        let (over, guard) = mpsc::channel();
        let (asked, cancel) = (self.asked.clone(), cancel.clone());
        let watcher = thread::spawn(move || watch(&asked, &cancel, &guard));
        Stoppable { leave: self.leave.clone(), over: Some(over), watcher: Some(watcher) }
    }

    /// What the first signal sets, for work that watches such a flag itself.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.asked.clone()
    }

    /// Whether a signal has come since the last [`Interrupt::stoppable`].
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    fn take_over(&self, signal: i32) -> std::io::Result<()> {
        // In this order: the first signal finds `leave` unset and sets it, the second one finds it set.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), self.leave.clone())?;
        flag::register(signal, self.leave.clone())?;
        flag::register(signal, self.asked.clone())?;
        Ok(())
    }
}

/// Hands a signal on to whoever computes, until the other end of `over` is dropped. (Handlers of signals may do little
/// more than set a flag of their own.)
fn watch(asked: &AtomicBool, cancel: &Cancel, over: &Receiver<()>) {
    while over.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        if asked.load(Ordering::SeqCst) {
            return cancel.cancel();
        }
    }
}

/// See [`Interrupt::stoppable`].
pub(crate) struct Stoppable {
    leave: Arc<AtomicBool>,
    over: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::SeqCst);
        self.over.take();
        if let Some(watcher) = self.watcher.take() {
            // It has no way to panic, and nothing to say.
            let _ = watcher.join();
        }
    }
}
