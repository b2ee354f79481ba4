//! One file that Spack lists: its bytes before and after.

use spack_format::relocation::c_string::{self, Strictness};
use spack_format::relocation::{PrefixMap, elf, foreign, shebang, text};

use super::Rules;
use super::left::{Left, LeftBecause};
use crate::layer::transform::TransformError;

/// Bytes of the largest file that is relocated: it has to be in memory. The largest shared libraries known to us, of GPU
/// frameworks, have 2 GB.
pub(in crate::layer) const WHOLE_FILE_LIMIT: u64 = 4 << 30;

/// A file of a package.
pub(super) struct FileName<'a> {
    pub(super) package: &'a str,
    /// Below the prefix.
    pub(super) path: &'a str,
}

/// The new bytes of a file that Spack lists, and what stays of the build in them. The order is Spack's: search path and
/// interpreter, text, strings.
pub(super) fn relocate(
    rules: &Rules,
    file: &FileName<'_>,
    mut bytes: Vec<u8>,
) -> Result<(Vec<u8>, Option<Left>), TransformError> {
    let is_binary = rules.is_binary(file.path);
    if is_binary {
        let changes = elf::relocate(&rules.map, &bytes[..], &|part| rules.is_there(part));
        let changes = changes.map_err(|source| TransformError::Elf {
            package: file.package.to_owned(),
            file: file.path.to_owned(),
            source,
        })?;
        if !changes.is_empty() {
            bytes = changes.apply(bytes);
        }
    }
    if rules.is_text(file.path)
        && let Some(new) = text::relocate(&rules.map, &bytes, text::Rule::AsSpack)
    {
        bytes = new;
    }
    if is_binary {
        c_string::relocate_in_place(&rules.map, &mut bytes, Strictness::Refuse).map_err(
            |source| TransformError::String {
                package: file.package.to_owned(),
                file: file.path.to_owned(),
                source,
            },
        )?;
    }
    let Some(found) = foreign::scan(&rules.map, &bytes) else {
        return Ok((bytes, None));
    };
    if is_binary {
        return Err(TransformError::Foreign {
            package: file.package.to_owned(),
            file: file.path.to_owned(),
            offset: found.offset,
            count: found.count,
        });
    }
    let left = Left {
        file: file.path.to_owned(),
        offset: found.offset,
        count: found.count,
        why: LeftBecause::WithinPath,
    };
    Ok((bytes, Some(left)))
}

/// Drops what leads nowhere from the search path of an ELF file that Spack does not list, as its hook does in every file.
pub(super) fn drop_absent(
    rules: &Rules,
    file: &FileName<'_>,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, TransformError> {
    let changes = elf::relocate(&PrefixMap::empty(), &bytes[..], &|part| {
        rules.is_there(part)
    })
    .map_err(|source| TransformError::Elf {
        package: file.package.to_owned(),
        file: file.path.to_owned(),
        source,
    })?;
    Ok(changes.apply(bytes))
}

/// Puts `sbang` before a first line that is too long. `first` is the beginning of an executable file.
pub(super) fn wrap(rules: &Rules, mode: u32, first: &[u8]) -> Option<shebang::Wrapped> {
    if mode & 0o111 == 0 {
        return None;
    }
    shebang::wrap(first, &rules.sbang)
}
