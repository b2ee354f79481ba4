//! The instructions of one file.

use std::collections::BTreeMap;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

use super::elf::{CodeOf, code_of};
use super::level::{self, Level};
use super::{CpuFile, Use};

/// After bytes that are no instruction, data among code, so many have to be some before they are believed again.
const BELIEVED: u32 = 8;

/// What of a function's name says that it is chosen at run time, in lower case.
///
/// Source: names of `target_clones` (GCC manual, "Common Function Attributes": `.avx2`, `.arch_haswell`), and those of glibc,
/// OpenBLAS, FFTW, x264, zlib-ng, dav1d.
const CHOSEN: [&str; 30] = [
    "avx",
    "sse3",
    "ssse3",
    "sse4",
    "_fma",
    "fma3",
    "bmi1",
    "bmi2",
    "popcnt",
    "_evex",
    "movbe",
    "f16c",
    ".arch_",
    "x86_64_v",
    "x86_64-v",
    "nehalem",
    "sandybridge",
    "haswell",
    "skylake",
    "cannonlake",
    "icelake",
    "cooperlake",
    "cascadelake",
    "sapphirerapids",
    "_knl",
    "znver",
    "_zen",
    "excavator",
    "bulldozer",
    "vnni",
];

/// What `data` uses above the first level; none if it is no x86-64 program or library, or uses nothing.
pub(super) fn decode(path: &str, data: &[u8]) -> Option<CpuFile> {
    let code = code_of(data)?;
    let mut found = Uses::default();
    for (address, bytes) in &code.parts {
        found.look(*address, bytes, &code);
    }
    (!found.uses.is_empty()).then(|| CpuFile {
        path: path.to_owned(),
        chooses: code.chooses || found.asks,
        uses: found.uses.into_values().collect(),
    })
}

#[derive(Default)]
struct Uses {
    uses: BTreeMap<(Level, String), Use>,
    /// Whether there is a `cpuid` instruction.
    asks: bool,
}

impl Uses {
    fn look(&mut self, address: u64, bytes: &[u8], code: &CodeOf<'_>) {
        let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        let mut believed = BELIEVED;
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            match instruction.code() {
                Code::INVALID => {
                    believed = 0;
                    continue;
                }
                Code::Cpuid => self.asks = true,
                _ => {}
            }
            believed = (believed + 1).min(BELIEVED);
            if believed == BELIEVED
                && let Some((level, feature)) = level::of(instruction.code())
            {
                self.found(level, &format!("{feature:?}"), &instruction, code);
            }
        }
    }

    fn found(&mut self, level: Level, feature: &str, instruction: &Instruction, code: &CodeOf<'_>) {
        let function = code.function(instruction.ip());
        if function.is_some_and(is_chosen) {
            return;
        }
        let first = || Use {
            level,
            feature: feature.to_owned(),
            count: 0,
            instruction: format!("{:?}", instruction.mnemonic()).to_lowercase(),
            address: instruction.ip(),
            function: function.map(|name| String::from_utf8_lossy(name).into_owned()),
        };
        let key = (level, feature.to_owned());
        self.uses.entry(key).or_insert_with(first).count += 1;
    }
}

fn is_chosen(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    CHOSEN
        .iter()
        .any(|part| memchr::memmem::find(&name, part.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_chosen() {
        for name in [
            "__memmove_avx_unaligned_erms",
            "sum.arch_haswell",
            "sum.avx2.0",
            "dgemm_kernel_SKYLAKEX",
            "crc32_pclmulqdq_sse42_ssse3",
        ] {
            assert!(is_chosen(name.as_bytes()), "{name}");
        }
        for name in [
            "main",
            "search_in",
            "submit",
            "fmax",
            "frozen",
            "std::vector<double>::push_back",
        ] {
            assert!(!is_chosen(name.as_bytes()), "{name}");
        }
    }
}
