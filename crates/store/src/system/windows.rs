//! The calls of Windows.

use std::mem::size_of;

use super::Held;

/// `PROCESS_MEMORY_COUNTERS`.
#[repr(C)]
#[derive(Default)]
struct Counters {
    size: u32,
    n_page_faults: u32,
    peak_working_set: usize,
    working_set: usize,
    quotas: [usize; 4],
    pagefile: usize,
    peak_pagefile: usize,
}

/// `MEMORYSTATUSEX`.
#[repr(C)]
#[derive(Default)]
struct Status {
    size: u32,
    load: u32,
    total: u64,
    available: u64,
    rest: [u64; 5],
}

#[link(name = "kernel32")]
unsafe extern "system" {
    fn GetCurrentProcess() -> *mut std::ffi::c_void;
    fn K32GetProcessMemoryInfo(process: *mut std::ffi::c_void, counters: *mut Counters, size: u32) -> i32;
    fn GlobalMemoryStatusEx(status: *mut Status) -> i32;
}

pub(super) fn held() -> Option<Held> {
    let size = size_of::<Counters>() as u32;
    let mut counters = Counters { size, ..Counters::default() };
    // SAFETY: the structure is the one that the call documents, with its size.
    let succeeded = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, size) };
    let Counters { working_set, peak_working_set, .. } = counters;
    (succeeded != 0).then_some(Held { now: working_set as u64, peak: peak_working_set as u64 })
}

pub(super) fn spare() -> Option<u64> {
    let mut status = Status { size: size_of::<Status>() as u32, ..Status::default() };
    // SAFETY: the structure is the one that the call documents, with its size.
    let succeeded = unsafe { GlobalMemoryStatusEx(&raw mut status) };
    (succeeded != 0).then_some(status.available)
}
