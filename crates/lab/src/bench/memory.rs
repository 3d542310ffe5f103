//! Large pieces of memory.

use memmap2::MmapMut;

use super::BenchError;

/// Zeros, in huge pages where the system has them: large reads are then bound by memory, not by page tables.
pub(super) fn zeros(bytes: usize, what: &'static str) -> Result<MmapMut, BenchError> {
    let memory = MmapMut::map_anon(bytes).map_err(|source| BenchError::Memory { bytes, what, source })?;
    #[cfg(target_os = "linux")]
    // Advice: where it is refused, small pages do.
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}
