//! What the object may not become: larger for the verifier than other kernels allow, or full of calls to a byte loop.

use weir_common::map::{self, SCHEMA};

use super::plane::Plane;

/// Kernels before 5.2 gave up at 4096 instructions, all since at a million; a tenth of that leaves room.
const VERIFIED_MAX: u32 = 100_000;
/// For each IP version: opening a flow, and asking the FIB from where a flow is new, found, or copied.
const CALLS: usize = 8;

#[test]
fn the_verifier_has_little_to_do() {
    let Some(plane) = Plane::new() else { return };
    let info = plane
        .xdp()
        .info()
        .expect("the kernel's word about the program");
    let verified = info
        .verified_instruction_count()
        .expect("a kernel that counts");
    println!(
        "{} (schema {SCHEMA}): {verified} instructions verified, {} bytes of machine code",
        map::program::STEER,
        info.size_jitted()
    );
    assert!(verified < VERIFIED_MAX, "{verified} instructions verified");
}

#[test]
fn no_copy_became_a_call() {
    let Some(object) = weir::steering::OBJECT else {
        println!("skipped: needs the XDP object (cargo xtask build-ebpf)");
        return;
    };
    let calls: usize = code(object)
        .iter()
        .map(|section| section.as_chunks::<8>().0)
        .map(calls_within)
        .sum();
    assert!(
        calls <= CALLS,
        "{calls} calls within the object: was it linked with --disable-expand-memcpy-in-order?"
    );
}

/// Instructions of opcode CALL whose source register says that the callee is in the object.
fn calls_within(instructions: &[[u8; 8]]) -> usize {
    instructions
        .iter()
        .filter(|[opcode, registers, ..]| *opcode == 0x85 && *registers >> 4 == 1)
        .count()
}

/// The executable sections of a 64-bit little-endian ELF file (ELF-64 Object File Format 1.5, figures 2 and 6).
fn code(elf: &[u8]) -> Vec<&[u8]> {
    const EXECUTABLE: u64 = 4;
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes]
            .iter()
            .rev()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let (table, size, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    (0..count)
        .map(|section| (table + section * size) as usize)
        .filter(|header| number(header + 8, 8) & EXECUTABLE != 0)
        .map(|header| {
            (
                number(header + 24, 8) as usize,
                number(header + 32, 8) as usize,
            )
        })
        .map(|(start, length)| &elf[start..start + length])
        .collect()
}
