//! Priorities of threads.

/// How much nicer than the workers a thread that computes for the control plane is (setpriority(2)).
const NICE: libc::c_int = 10;

/// Lowers the priority of the calling thread, so that what it computes takes no time from the workers.
pub fn lower_priority() {
    // SAFETY: setpriority takes no pointer; on Linux PRIO_PROCESS with 0 means the calling thread. A failure leaves the
    // priority as it is, which is no reason not to run.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}
