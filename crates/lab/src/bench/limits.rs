//! The machine's limits, and how long work takes at least.

use dewdrop::machine;
use dewdrop::machine::limits::{Gauge, Peak};
use memmap2::MmapMut;

use super::work::Work;
use super::{BenchError, memory};

/// Bytes read to measure the bandwidth: many times any cache.
const MEMORY: usize = 2 << 30;
/// The same while something is timed.
const LESS_MEMORY: usize = 512 << 20;
/// The least that is still worth measuring.
const LEAST_MEMORY: usize = 64 << 20;
/// Measurements of each kind while something is timed.
const FEW_TRIALS: usize = 2;

/// What some threads can do at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Threads.
    pub threads: usize,
    /// Instruction set.
    pub isa: &'static str,
    /// Bytes read in a second.
    pub read: f64,
    /// Multiply-adds of quantized weights.
    pub integers: Peak,
    /// Multiply-adds of BF16 weights; those of singles where the machine has no faster ones.
    pub bf16: Peak,
    /// Multiply-adds of singles.
    pub floats: Peak,
}

impl Limits {
    /// Measures them.
    ///
    /// # Errors
    /// If this machine does not have the instruction set, or memory.
    pub fn measure(threads: usize, isa: Option<&str>) -> Result<Self, BenchError> {
        Ok(Self::by(&Gauge::new(threads, isa)?, &written(MEMORY)?))
    }

    fn by(gauge: &Gauge, memory: &[u8]) -> Self {
        let (read, integers, floats) = (gauge.read(memory), gauge.integers(), gauge.floats());
        let bf16 = gauge.bf16().filter(|bf16| bf16.per_second > floats.per_second).unwrap_or(floats);
        Limits { threads: gauge.threads(), isa: gauge.isa(), read, integers, bf16, floats }
    }

    /// Seconds that a pass takes at least: reading and computing overlap at best.
    pub fn seconds(&self, work: &Work) -> f64 {
        let rate = |n: u64, peak: Peak| n as f64 / peak.per_second;
        let computing =
            rate(work.integers, self.integers) + rate(work.bf16, self.bf16) + rate(work.floats, self.floats);
        computing.max(work.bytes as f64 / self.read)
    }
}

/// The limits while something is timed. What else a machine does moves them within seconds, so that those of another minute
/// say little about a speed.
pub struct Yardstick {
    first: Limits,
    again: Option<(Gauge, MmapMut)>,
}

impl Yardstick {
    /// Measures again before and after all that is timed.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(first: &Limits) -> Result<Self, BenchError> {
        let gauge = Gauge::new(first.threads, Some(first.isa))?.trials(FEW_TRIALS);
        Ok(Yardstick { first: first.clone(), again: Some((gauge, written(LESS_MEMORY)?)) })
    }

    /// Keeps to what was measured, where there is no memory to spare.
    pub fn fixed(first: &Limits) -> Self {
        Yardstick { first: first.clone(), again: None }
    }

    /// Those of this moment.
    pub(super) fn now(&self) -> Limits {
        self.again.as_ref().map_or_else(|| self.first.clone(), |(gauge, memory)| Limits::by(gauge, memory))
    }
}

/// Memory to be read: `most` bytes, or as much as there is to spare.
fn written(most: usize) -> Result<MmapMut, BenchError> {
    let mut memory = memory::zeros(memory_len(machine::available_memory(), most), "a read of it")?;
    // Pages that were never written are all the same one.
    memory.fill(1);
    Ok(memory)
}

/// A quarter of what is there, within reason.
fn memory_len(available: Option<u64>, most: usize) -> usize {
    let quarter = available.map_or(most, |bytes| usize::try_from(bytes / 4).unwrap_or(most));
    quarter.clamp(LEAST_MEMORY, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_read_less() {
        assert_eq!(memory_len(Some(1 << 30), MEMORY), 1 << 28);
        assert_eq!(memory_len(Some(1 << 40), MEMORY), MEMORY);
        assert_eq!(memory_len(Some(0), MEMORY), LEAST_MEMORY);
    }

    #[test]
    fn a_fixed_yardstick_stays_as_it_is() {
        let peak = Peak { per_second: 1.0, instructions: "" };
        let limits =
            Limits { threads: 1, isa: "portable", read: 1.0, integers: peak, bf16: peak, floats: peak };
        assert_eq!(Yardstick::fixed(&limits).now(), limits);
        let now = Yardstick::new(&limits).unwrap().now();
        assert!(now.read > limits.read && now.integers.per_second > 1.0 && now.isa == limits.isa);
    }

    #[test]
    fn the_slower_of_reading_and_computing_decides() {
        let peak = |per_second| Peak { per_second, instructions: "" };
        let (integers, bf16, floats) = (peak(100.0), peak(50.0), peak(25.0));
        let limits = Limits { threads: 1, isa: "", read: 10.0, integers, bf16, floats };
        let work = Work { bytes: 20, integers: 100, bf16: 50, floats: 25 };
        assert_eq!(limits.seconds(&work), 3.0);
        assert_eq!(limits.seconds(&Work { bytes: 40, ..work }), 4.0);
    }
}
