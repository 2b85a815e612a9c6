//! The `weir` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir::cli::main()
}
