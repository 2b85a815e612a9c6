//! Priorities of threads, and what they leave behind.

/// How much nicer than the workers a thread that computes for the control plane is (setpriority(2)).
const NICE: libc::c_int = 10;

/// Lowers the priority of the calling thread, so that what it computes takes no time from the workers.
pub fn lower_priority() {
    // SAFETY: setpriority takes no pointer; on Linux PRIO_PROCESS with 0 means the calling thread. A failure leaves the
    // priority as it is, which is no reason not to run.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// Gives memory that was freed back to the kernel, where the allocator keeps it (malloc_trim(3)). Takes milliseconds,
/// and each arena's lock in turn: for the threads that compute, after something large.
pub fn return_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
