//! How threads share the processors, and what they leave behind.

use std::time::Duration;

/// How much nicer than the workers a thread that computes for the control plane is. Not more, and no `SCHED_IDLE`:
/// while all processors are busy, a reload would take minutes.
const NICE: libc::c_int = 10;
/// How long it computes at a time where others want the processor too: the longest that Linux knows. From 6.12 on
/// whoever wants it for less is let in on waking; else a worker would wait for the end of a slice as long as its own.
const SLICE: Duration = Duration::from_millis(100);

/// Has the calling thread compute behind the workers: they get more of the processors, and get them at once
/// (sched_setattr(2)).
pub fn lower_priority() {
    // SAFETY: it takes no pointer; on Linux PRIO_PROCESS with 0 means the calling thread.
    let already = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let wanted = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_BATCH as u32,
        sched_flags: 0,
        sched_nice: NICE.max(already),
        sched_priority: 0,
        sched_runtime: SLICE.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `size` bytes, which live through the call; 0 means the calling thread. A failure leaves
    // the thread as it is, which is no reason not to run.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_stands_behind_and_its_process_does_not() {
        // SAFETY: neither takes a pointer; 0 means the calling thread.
        let how = || unsafe {
            (
                libc::sched_getscheduler(0),
                libc::getpriority(libc::PRIO_PROCESS, 0),
            )
        };
        let before = how();
        let lowered = std::thread::spawn(move || {
            lower_priority();
            how()
        });
        let wanted = (libc::SCHED_BATCH, before.1.max(NICE));
        assert_eq!(lowered.join().expect("a thread"), wanted);
        assert_eq!(how(), before);
    }
}
