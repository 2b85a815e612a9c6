//! Embeds the XDP object when `cargo xtask build-ebpf` has left one under the target directory. Without it the binary
//! is built all the same and steers in user space: no eBPF toolchain is needed here.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rustc-check-cfg=cfg(weir_xdp_object)");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let directory = target_directory(&out).join("xdp");
    // A missing file named in rerun-if-changed would run this script on every build; a directory that exists does not.
    fs::create_dir_all(&directory)?;
    println!("cargo:rerun-if-changed={}", directory.display());
    let object = directory.join("weir.o");
    if object.exists() {
        fs::copy(&object, out.join("weir.o"))?;
        println!("cargo:rustc-cfg=weir_xdp_object");
    }
    Ok(())
}

/// Cargo marks the root of its target directory with a CACHEDIR.TAG, with and without `--target`.
fn target_directory(out: &Path) -> &Path {
    let marked = out
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists());
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    marked.or_else(|| out.ancestors().nth(4)).unwrap_or(out)
}
