//! What archspec knows: names, vendors and descent.

/// The version of archspec that the table says as much as.
pub const KNOWN_VERSION: &str = "0.2.5";

/// A microarchitecture.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) vendor: &'static str,
    /// Those that it is built upon directly, by name.
    pub(super) parents: &'static [&'static str],
}

const fn entry(
    name: &'static str,
    vendor: &'static str,
    parents: &'static [&'static str],
) -> Entry {
    Entry {
        name,
        vendor,
        parents,
    }
}

/// All that archspec 0.2.5 knows, parents before their children.
pub(super) static TABLE: &[Entry] = &[
    entry("x86", "generic", &[]),
    entry("i686", "GenuineIntel", &["x86"]),
    entry("pentium2", "GenuineIntel", &["i686"]),
    entry("pentium3", "GenuineIntel", &["pentium2"]),
    entry("pentium4", "GenuineIntel", &["pentium3"]),
    entry("prescott", "GenuineIntel", &["pentium4"]),
    entry("x86_64", "generic", &[]),
    entry("x86_64_v2", "generic", &["x86_64"]),
    entry("x86_64_v3", "generic", &["x86_64_v2"]),
    entry("x86_64_v4", "generic", &["x86_64_v3"]),
    entry("nocona", "GenuineIntel", &["x86_64"]),
    entry("core2", "GenuineIntel", &["nocona"]),
    entry("nehalem", "GenuineIntel", &["core2", "x86_64_v2"]),
    entry("westmere", "GenuineIntel", &["nehalem"]),
    entry("sandybridge", "GenuineIntel", &["westmere"]),
    entry("ivybridge", "GenuineIntel", &["sandybridge"]),
    entry("haswell", "GenuineIntel", &["ivybridge", "x86_64_v3"]),
    entry("broadwell", "GenuineIntel", &["haswell"]),
    entry("skylake", "GenuineIntel", &["broadwell"]),
    entry("mic_knl", "GenuineIntel", &["broadwell"]),
    entry("skylake_avx512", "GenuineIntel", &["skylake", "x86_64_v4"]),
    entry("cannonlake", "GenuineIntel", &["skylake"]),
    entry("cascadelake", "GenuineIntel", &["skylake_avx512"]),
    entry("icelake", "GenuineIntel", &["cascadelake", "cannonlake"]),
    entry("sapphirerapids", "GenuineIntel", &["icelake"]),
    entry("k10", "AuthenticAMD", &["x86_64"]),
    entry("bulldozer", "AuthenticAMD", &["x86_64_v2"]),
    entry("piledriver", "AuthenticAMD", &["bulldozer"]),
    entry("steamroller", "AuthenticAMD", &["piledriver"]),
    entry("excavator", "AuthenticAMD", &["steamroller", "x86_64_v3"]),
    entry("zen", "AuthenticAMD", &["x86_64_v3"]),
    entry("zen2", "AuthenticAMD", &["zen"]),
    entry("zen3", "AuthenticAMD", &["zen2"]),
    entry("zen4", "AuthenticAMD", &["zen3", "x86_64_v4"]),
    entry("zen5", "AuthenticAMD", &["zen4"]),
    entry("ppc64", "generic", &[]),
    entry("power7", "IBM", &["ppc64"]),
    entry("power8", "IBM", &["power7"]),
    entry("power9", "IBM", &["power8"]),
    entry("power10", "IBM", &["power9"]),
    entry("ppc64le", "generic", &[]),
    entry("power8le", "IBM", &["ppc64le"]),
    entry("power9le", "IBM", &["power8le"]),
    entry("power10le", "IBM", &["power9le"]),
    entry("aarch64", "generic", &[]),
    entry("armv8.1a", "generic", &["aarch64"]),
    entry("armv8.2a", "generic", &["armv8.1a"]),
    entry("armv8.3a", "generic", &["armv8.2a"]),
    entry("armv8.4a", "generic", &["armv8.3a"]),
    entry("armv8.5a", "generic", &["armv8.4a"]),
    entry("armv8.6a", "generic", &["armv8.5a"]),
    entry("armv9.0a", "generic", &["armv8.5a"]),
    entry("thunderx2", "Cavium", &["armv8.1a"]),
    entry("a64fx", "Fujitsu", &["armv8.2a"]),
    entry("cortex_a72", "ARM", &["aarch64"]),
    entry("neoverse_n1", "ARM", &["cortex_a72", "armv8.2a"]),
    entry("neoverse_v1", "ARM", &["neoverse_n1", "armv8.4a"]),
    entry("neoverse_v2", "ARM", &["neoverse_n1", "armv9.0a"]),
    entry("neoverse_n2", "ARM", &["neoverse_n1", "armv9.0a"]),
    entry("m1", "Apple", &["armv8.4a"]),
    entry("m2", "Apple", &["m1", "armv8.5a"]),
    entry("m3", "Apple", &["m2", "armv8.6a"]),
    entry("m4", "Apple", &["m3", "armv8.6a"]),
    entry("arm", "generic", &[]),
    entry("ppc", "generic", &[]),
    entry("ppcle", "generic", &[]),
    entry("sparc", "generic", &[]),
    entry("sparc64", "generic", &[]),
    entry("riscv64", "generic", &[]),
    entry("u74mc", "SiFive", &["riscv64"]),
];
