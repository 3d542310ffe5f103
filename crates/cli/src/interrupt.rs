//! Ctrl-C and SIGTERM.
//!
//! While something can be stopped in order, the first signal asks for that and a second one leaves at once; at all
//! other times (reading a file, waiting for a line) the first one leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use dewdrop::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::outcome::INTERRUPTED;

/// What signals have asked for.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    asked: Cancel,
    leave: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over both signals.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let interrupt = Self { asked: Cancel::default(), leave: Arc::new(AtomicBool::new(true)) };
        for signal in [SIGINT, SIGTERM] {
            interrupt.take_over(signal).context("cannot watch for signals")?;
        }
        Ok(interrupt)
    }

    /// From here to the end of the guard's life, the first signal only sets [`Interrupt::cancel`].
    pub(crate) fn stoppable(&self) -> Stoppable {
        self.asked.reset();
        self.leave.store(false, Ordering::SeqCst);
        Stoppable { leave: self.leave.clone() }
    }

    /// What a signal sets, for the work that is to stop.
    pub(crate) fn cancel(&self) -> Cancel {
        self.asked.clone()
    }

    /// Whether a signal has come since the last [`Interrupt::stoppable`].
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_cancelled()
    }

    fn take_over(&self, signal: i32) -> std::io::Result<()> {
        // In this order: the first signal finds `leave` unset and sets it, the second one finds it set.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), self.leave.clone())?;
        flag::register(signal, self.leave.clone())?;
        flag::register(signal, self.asked.flag())?;
        Ok(())
    }
}

/// See [`Interrupt::stoppable`].
pub(crate) struct Stoppable {
    leave: Arc<AtomicBool>,
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::SeqCst);
    }
}
