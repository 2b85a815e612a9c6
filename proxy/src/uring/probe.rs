//! Whether this machine can run the driver, and if not, why and what to do.

/// Why the driver cannot run here: one line with cause and remedy.
#[derive(Debug)]
pub struct ProbeError(String);

impl std::fmt::Display for ProbeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProbeError {}

/// Builds and drops a small ring as a worker does. Call it once at start, before anything is bound.
///
/// # Errors
/// A kernel before 6.1, `kernel.io_uring_disabled`, a seccomp profile or a memory-lock limit in the way.
pub fn probe() -> Result<(), ProbeError> {
    todo!()
}
