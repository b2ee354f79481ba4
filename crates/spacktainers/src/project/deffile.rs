//! What is asked of a Singularity definition file when a project is read.

use oci_format::Reference;

/// The tag of the image in `From:`.
pub(super) fn version(text: &str) -> Option<String> {
    let from = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim()
            .eq_ignore_ascii_case("from")
            .then(|| value.trim())
    })?;
    from.parse::<Reference>()
        .ok()?
        .effective_tag()
        .map(str::to_owned)
}
