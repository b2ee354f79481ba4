//! `/etc/pam.d/common-*`: how users are authenticated, made of the profiles that packages ship.
//!
//! What `pam-auth-update --package` does on a new system: every profile with `Default: yes`, highest
//! priority first, takes the place of the variables in the templates.
//!
//! Source: pam-auth-update(8); the specification at `/usr/share/doc/libpam-runtime` of the package.

use std::io::Write;

use super::super::control::{Paragraph, first_paragraph};
use super::tree::{Tree, TreeError};

/// Template, variable in it, field of profiles, the word that lines begin with.
const FILES: [(&str, &str, &str, &str); 5] = [
    ("account", "account", "Account", "account"),
    ("auth", "auth", "Auth", "auth"),
    ("password", "password", "Password", "password"),
    ("session", "session", "Session", "session"),
    (
        "session-noninteractive",
        "session_nonint",
        "Session",
        "session",
    ),
];
/// What stands where no profile has a primary module.
const NULL_MODULE: &str = "[default=1]\t\t\tpam_permit.so";

/// A module line, without the word before it, and the profile that it is from.
struct Module {
    profile: String,
    line: String,
}

/// Writes the files whose templates are there, and the records of what is in them.
pub(super) fn write<W: Write>(tree: &mut Tree<W>) -> Result<(), TreeError> {
    let mut profiles: Vec<(i64, String, Paragraph)> = tree
        .kept_below("usr/share/pam-configs")
        .into_iter()
        .filter_map(|(name, bytes)| {
            let profile = first_paragraph(&bytes).ok()?;
            let priority = profile
                .get("Priority")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            Some((priority, name, profile))
        })
        .collect();
    profiles.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    if profiles.is_empty() {
        return Ok(());
    }
    let seen: String = profiles
        .iter()
        .map(|(_, name, _)| format!("{name}\n"))
        .collect();
    tree.file("var/lib/pam/seen", 0o644, seen.as_bytes())?;
    profiles.retain(|(_, _, profile)| profile.get("Default") == Some("yes"));
    for (file, variable, field, word) in FILES {
        let Some(template) = tree.kept(&format!("usr/share/pam/common-{file}")) else {
            continue;
        };
        let template = String::from_utf8_lossy(template).into_owned();
        let is_interactive = variable != "session_nonint";
        let modules = |kind: &str| {
            let wanted = profiles.iter().filter(|(_, _, profile)| {
                profile.get(&format!("{field}-Type")) == Some(kind)
                    && (is_interactive || profile.get("Session-Interactive-Only") != Some("yes"))
            });
            modules(
                wanted.map(|(_, name, profile)| (name.as_str(), profile)),
                field,
            )
        };
        let (primary, additional) = (modules("Primary"), modules("Additional"));
        let text: String = template
            .lines()
            .map(|line| match line.trim() {
                it if it == format!("${variable}_primary") => match primary.as_slice() {
                    [] => format!("{word}\t{NULL_MODULE}\n"),
                    modules => lines(modules, word),
                },
                it if it == format!("${variable}_additional") => lines(&additional, word),
                _ => format!("{line}\n"),
            })
            .collect();
        tree.file(&format!("etc/pam.d/common-{file}"), 0o644, text.as_bytes())?;
        tree.file(
            &format!("var/lib/pam/{file}"),
            0o644,
            record(&primary, &additional).as_bytes(),
        )?;
    }
    Ok(())
}

/// The module lines of profiles. The first profile has lines of its own for that place.
fn modules<'a>(
    profiles: impl Iterator<Item = (&'a str, &'a Paragraph)>,
    field: &str,
) -> Vec<Module> {
    let mut modules = Vec::new();
    for (index, (name, profile)) in profiles.enumerate() {
        let initial = (index == 0)
            .then(|| profile.get(&format!("{field}-Initial")))
            .flatten();
        let value = initial.or_else(|| profile.get(field)).unwrap_or_default();
        let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
        modules.extend(lines.map(|line| Module {
            profile: name.to_owned(),
            line: line.to_owned(),
        }));
    }
    modules
}

/// Lines for `/etc/pam.d`. `end` in a control value is the number of modules still to jump over.
fn lines(modules: &[Module], word: &str) -> String {
    let count = modules.len();
    let line = |(index, module): (usize, &Module)| {
        let line = module.line.replace("=end", &format!("={}", count - index));
        // Where a module has no options, there is a blank in their place.
        let has_options = line
            .rsplit('\t')
            .next()
            .is_some_and(|last| last.contains(' '));
        format!("{word}\t{line}{}\n", if has_options { "" } else { " " })
    };
    modules.iter().enumerate().map(line).collect()
}

/// What pam-auth-update later compares the files with, to tell whether somebody changed them.
fn record(primary: &[Module], additional: &[Module]) -> String {
    let mut out = String::new();
    if primary.is_empty() {
        out.push_str(&format!("Module: null\n{NULL_MODULE}\n"));
    }
    let mut last = None;
    for module in primary.iter().chain(additional) {
        if last.replace(&module.profile) != Some(&module.profile) {
            out.push_str(&format!("Module: {}\n", module.profile));
        }
        out.push_str(&module.line);
        out.push('\n');
    }
    out
}
