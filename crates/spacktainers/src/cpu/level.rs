//! Levels, and which of them an instruction belongs to.

use std::fmt;
use std::sync::LazyLock;

use iced_x86::{Code, CpuidFeature};
use serde::{Deserialize, Serialize};
use spack_format::microarchitecture::Microarchitecture;

/// A level above the first. Source: x86-64 psABI, "Micro-Architecture Levels".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `x86_64_v2`: up to SSE4.2.
    V2,
    /// `x86_64_v3`: AVX2, BMI, FMA.
    V3,
    /// `x86_64_v4`: AVX-512 with F, BW, CD, DQ and VL.
    V4,
    /// More of AVX-512 than that, AMX: what only names of processors stand for.
    Beyond,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "x86_64_v2",
            Self::V3 => "x86_64_v3",
            Self::V4 => "x86_64_v4",
            Self::Beyond => "beyond x86_64_v4",
        })
    }
}

impl Level {
    /// Whether a processor of this target has the level.
    #[must_use]
    pub fn is_in(self, target: &Microarchitecture) -> bool {
        let has = |name: &str| target.is_at_least(&Microarchitecture::from_name(name));
        match self {
            Self::V2 => has("x86_64_v2"),
            Self::V3 => has("x86_64_v3"),
            Self::V4 => has("x86_64_v4"),
            // Which of them a name stands for is not known here: nobody is accused.
            Self::Beyond => has("x86_64_v4") && target.name() != "x86_64_v4",
        }
    }
}

/// The level of a feature, if it belongs to one.
fn of_feature(feature: CpuidFeature) -> Option<Level> {
    use CpuidFeature as F;
    match feature {
        F::SSE3 | F::SSSE3 | F::SSE4_1 | F::SSE4_2 | F::POPCNT | F::CMPXCHG16B => Some(Level::V2),
        F::AVX | F::AVX2 | F::BMI1 | F::BMI2 | F::F16C | F::FMA | F::LZCNT | F::MOVBE => {
            Some(Level::V3)
        }
        F::AVX512F | F::AVX512BW | F::AVX512CD | F::AVX512DQ | F::AVX512VL => Some(Level::V4),
        _ => {
            let name = format!("{feature:?}");
            let is_beyond = ["AVX512", "AMX", "AVX_"]
                .iter()
                .any(|it| name.starts_with(it));
            is_beyond.then_some(Level::Beyond)
        }
    }
}

/// The levels of all instructions, by number of their codes.
static LEVELS: LazyLock<Vec<Option<(Level, CpuidFeature)>>> = LazyLock::new(|| {
    Code::values()
        .map(|code| {
            // `tzcnt`, where `bsf` does.
            if matches!(
                code,
                Code::Tzcnt_r16_rm16 | Code::Tzcnt_r32_rm32 | Code::Tzcnt_r64_rm64
            ) {
                return None;
            }
            let features = code.cpuid_features().iter();
            features
                .filter_map(|feature| Some((of_feature(*feature)?, *feature)))
                .max_by_key(|(level, _)| *level)
        })
        .collect()
});

/// The level of an instruction above the first, and the feature that it is of.
pub(super) fn of(code: Code) -> Option<(Level, CpuidFeature)> {
    *LEVELS.get(code as usize)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_belong_to_levels() {
        let level = |code| of(code).map(|(level, _)| level);
        assert_eq!(level(Code::Mov_r64_rm64), None);
        assert_eq!(level(Code::Addpd_xmm_xmmm128), None);
        assert_eq!(level(Code::Popcnt_r64_rm64), Some(Level::V2));
        assert_eq!(level(Code::VEX_Vpaddd_ymm_ymm_ymmm256), Some(Level::V3));
        assert_eq!(
            level(Code::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32),
            Some(Level::V4)
        );
        assert_eq!(
            level(Code::EVEX_Vpdpbusd_zmm_k1z_zmm_zmmm512b32),
            Some(Level::Beyond)
        );
        assert_eq!(level(Code::Tzcnt_r64_rm64), None);
        assert_eq!(level(Code::Aesenc_xmm_xmmm128), None);
        assert_eq!(level(Code::Endbr64), None);
    }

    #[test]
    fn targets_have_levels() {
        let is_in = |level: Level, target| level.is_in(&Microarchitecture::from_name(target));
        assert!(!is_in(Level::V2, "x86_64"));
        assert!(is_in(Level::V3, "x86_64_v3") && !is_in(Level::V4, "x86_64_v3"));
        assert!(is_in(Level::V3, "zen2") && !is_in(Level::V4, "zen2"));
        assert!(!is_in(Level::Beyond, "x86_64_v4"));
        assert!(is_in(Level::Beyond, "icelake"));
    }
}
