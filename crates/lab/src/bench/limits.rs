//! The machine's limits, and how long work takes at least.

use dewdrop::machine;
use dewdrop::machine::limits::{Gauge, Peak};

use super::work::Work;
use super::{BenchError, memory};

/// Bytes read to measure the bandwidth: many times any cache.
const MEMORY: usize = 2 << 30;
/// The least that is still worth measuring.
const LEAST_MEMORY: usize = 64 << 20;

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
        let gauge = Gauge::new(threads, isa)?;
        let mut memory = memory::zeros(memory_len(machine::available_memory()), "a read of it")?;
        // Pages that were never written are all the same one.
        memory.fill(1);
        let (read, integers, floats) = (gauge.read(&memory), gauge.integers(), gauge.floats());
        let bf16 = gauge.bf16().filter(|bf16| bf16.per_second > floats.per_second).unwrap_or(floats);
        Ok(Limits { threads, isa: gauge.isa(), read, integers, bf16, floats })
    }

    /// Seconds that a pass takes at least: reading and computing overlap at best.
    pub fn seconds(&self, work: &Work) -> f64 {
        let rate = |n: u64, peak: Peak| n as f64 / peak.per_second;
        let computing =
            rate(work.integers, self.integers) + rate(work.bf16, self.bf16) + rate(work.floats, self.floats);
        computing.max(work.bytes as f64 / self.read)
    }
}

/// A quarter of what is there, within reason.
fn memory_len(available: Option<u64>) -> usize {
    let quarter = available.map_or(MEMORY, |bytes| usize::try_from(bytes / 4).unwrap_or(MEMORY));
    quarter.clamp(LEAST_MEMORY, MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_read_less() {
        assert_eq!(memory_len(Some(1 << 30)), 1 << 28);
        assert_eq!(memory_len(Some(1 << 40)), MEMORY);
        assert_eq!(memory_len(Some(0)), LEAST_MEMORY);
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
