//! What this machine's processor can do.

use spacktainers::base::BaseArchitecture;

/// The variant of images for `architecture` that this processor runs: `v2`, `v3` or `v4` of amd64. None where it runs no more
/// than the first level, or is of another architecture.
///
/// Source of the levels: the x86-64 psABI, section "Micro-Architecture Levels". `LAHF`, which the standard library does not
/// tell, is in every processor that has the rest.
pub(crate) fn variant(architecture: BaseArchitecture) -> Option<String> {
    match architecture {
        BaseArchitecture::Amd64 => x86_64_level().map(|level| format!("v{level}")),
        // Versions of arm64 cannot be told from the features that a program can see.
        BaseArchitecture::Arm64 => None,
    }
}

#[cfg(target_arch = "x86_64")]
fn x86_64_level() -> Option<u8> {
    use std::is_x86_feature_detected as has;
    let is_v2 = has!("sse3")
        && has!("ssse3")
        && has!("sse4.1")
        && has!("sse4.2")
        && has!("popcnt")
        && has!("cmpxchg16b");
    let is_v3 = has!("avx")
        && has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("f16c")
        && has!("fma")
        && has!("lzcnt")
        && has!("movbe");
    let is_v4 = has!("avx512f")
        && has!("avx512bw")
        && has!("avx512cd")
        && has!("avx512dq")
        && has!("avx512vl");
    match (is_v2, is_v3, is_v4) {
        (true, true, true) => Some(4),
        (true, true, false) => Some(3),
        (true, false, _) => Some(2),
        (false, ..) => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn x86_64_level() -> Option<u8> {
    None
}
