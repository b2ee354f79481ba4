//! The script that login shells read.

use indexmap::IndexMap;

/// A POSIX shell script that brings the image's environment back where a login shell has reset it, as `/etc/profile` of
/// Debian does with `PATH`.
///
/// Lists of folders are completed at their front by what is missing and keep what the user put there; other variables are
/// set only where they are not.
#[must_use]
pub fn profile(environment: &IndexMap<String, String>) -> String {
    let mut script =
        String::from("# The environment of this image's packages, for login shells.\n");
    for (name, value) in environment.iter().filter(|(name, _)| is_name(name)) {
        if value.contains(':') || name.ends_with("PATH") {
            for folder in value.split(':').rev().filter(|folder| !folder.is_empty()) {
                let quoted = quote(folder);
                // A trailing `:` of MANPATH means "and the default": it is in the value that is there already.
                script.push_str(&format!(
                    "case \":${{{name}-}}:\" in *:{quoted}:*) ;; *) {name}={quoted}${{{name}:+:}}${{{name}-}} ;; esac\n"
                ));
            }
        } else {
            script.push_str(&format!(
                "[ -n \"${{{name}+set}}\" ] || {name}={}\n",
                quote(value)
            ));
        }
        script.push_str(&format!("export {name}\n"));
    }
    script
}

/// Whether a shell can assign to it.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// In single quotes, where nothing means anything but the quote itself.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
