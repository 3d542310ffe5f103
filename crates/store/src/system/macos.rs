//! The calls of macOS.

use std::ffi::CStr;
use std::mem::{MaybeUninit, size_of};

use super::Held;

pub(super) fn held() -> Option<Held> {
    let size = size_of::<libc::proc_taskinfo>();
    let mut info = MaybeUninit::<libc::proc_taskinfo>::zeroed();
    // SAFETY: the call writes at most `size` bytes to memory that has as many.
    let written = unsafe {
        let into = info.as_mut_ptr().cast();
        libc::proc_pidinfo(libc::getpid(), libc::PROC_PIDTASKINFO, 0, into, size as libc::c_int)
    };
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes one `rusage`, for which there is memory.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if usize::try_from(written) != Ok(size) || result != 0 {
        return None;
    }
    // SAFETY: both were zeroed, which is a value of each, and written by calls that went well.
    let (info, usage) = unsafe { (info.assume_init(), usage.assume_init()) };
    let (now, peak) = (info.pti_resident_size, u64::try_from(usage.ru_maxrss).ok()?);
    Some(Held { now, peak: peak.max(now) })
}

/// The share of memory that the kernel itself calls free.
pub(super) fn spare() -> Option<u64> {
    let (memory, percent) = (number::<u64>(c"hw.memsize")?, number::<u32>(c"kern.memorystatus_level")?);
    Some(memory / 100 * u64::from(percent.min(100)))
}

/// A number of the kernel's by its name.
fn number<T: Default>(name: &CStr) -> Option<T> {
    let (mut value, mut size) = (T::default(), size_of::<T>());
    let into = (&raw mut value).cast();
    // SAFETY: the name ends in a zero, and the call writes at most `size` bytes to a value that has as many; only integers
    // are asked for, which any bytes are.
    let result = unsafe { libc::sysctlbyname(name.as_ptr(), into, &raw mut size, std::ptr::null_mut(), 0) };
    (result == 0 && size == size_of::<T>()).then_some(value)
}
