//! System calls that a single user cannot be granted, answered with success: a seccomp filter.
//!
//! In a user namespace with one user every other owner is refused, and package managers stop there. Told that all went well, they
//! go on. That is what Charliecloud does (`ch-image build --force=seccomp`), whose choice of system calls this is.
//!
//! ```text
//! another architecture's call ─► as it is
//! chown, setuid and their kin ─► 0, nothing done
//! mknod of a device           ─► 0, nothing done
//! anything else               ─► as it is
//! ```
//!
//! Sources: seccomp(2); Linux, `include/uapi/linux/{seccomp,filter,audit}.h`, `arch/x86/entry/syscalls/syscall_64.tbl`,
//! `include/uapi/asm-generic/unistd.h`; Priedhorsky, Jennings, Phinney: "Zero-consistency root emulation for unprivileged
//! container image build" (2024).

/// What is filtered on an architecture.
struct Calls {
    /// `AUDIT_ARCH_*`.
    architecture: u32,
    /// Calls that are passed over.
    all: &'static [u32],
    /// `mknod` and its like: the call, and which argument is the mode.
    devices: &'static [(u32, u32)],
}

const X86_64: Calls = Calls {
    architecture: 0xc000_003e,
    // chown fchown lchown fchownat setuid setgid setreuid setregid setgroups setresuid setresgid setfsuid setfsgid capset
    all: &[
        92, 93, 94, 260, 105, 106, 113, 114, 116, 117, 119, 122, 123, 126,
    ],
    devices: &[(133, 1), (259, 2)],
};

const AARCH64: Calls = Calls {
    architecture: 0xc000_00b7,
    // fchownat fchown capset setregid setgid setreuid setuid setresuid setresgid setfsuid setfsgid setgroups
    all: &[54, 55, 91, 143, 144, 145, 146, 147, 149, 151, 152, 159],
    devices: &[(33, 2)],
};

// Instructions of classic BPF.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO` with no error.
const SUCCEED: u32 = 0x0005_0000;

const S_IFMT: u32 = 0o170_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

/// The filter for this machine; nothing where the calls' numbers are not known.
pub(super) fn filter() -> Option<Vec<u8>> {
    let calls = match std::env::consts::ARCH {
        "x86_64" => &X86_64,
        "aarch64" => &AARCH64,
        _ => return None,
    };
    Some(assemble(calls))
}

/// `struct sock_filter`: operation, jumps if true and if not, operand; in the machine's byte order.
fn assemble(calls: &Calls) -> Vec<u8> {
    let mut code: Vec<(u16, u8, u8, u32)> = vec![
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, calls.architecture),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, NUMBER),
    ];
    for call in calls.all {
        code.extend([(JUMP_EQUAL, 0, 1, *call), (RETURN, 0, 0, SUCCEED)]);
    }
    for (call, argument) in calls.devices {
        // The lower half of the argument, which is where the mode is on machines that begin with it.
        let mode = ARGUMENTS + 8 * argument;
        code.extend([
            (JUMP_EQUAL, 0, 6, *call),
            (LOAD, 0, 0, mode),
            (AND, 0, 0, S_IFMT),
            (JUMP_EQUAL, 1, 0, S_IFCHR),
            (JUMP_EQUAL, 0, 1, S_IFBLK),
            (RETURN, 0, 0, SUCCEED),
            (RETURN, 0, 0, ALLOW),
        ]);
    }
    code.push((RETURN, 0, 0, ALLOW));
    code.iter()
        .flat_map(|(operation, yes, no, operand)| {
            let mut bytes = operation.to_ne_bytes().to_vec();
            bytes.extend([*yes, *no]);
            bytes.extend(operand.to_ne_bytes());
            bytes
        })
        .collect()
}
