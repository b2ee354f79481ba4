//! Alternatives: which `awk`, `pager` or `editor` a system has.
//!
//! Packages offer theirs in their postinst by `update-alternatives --install LINK NAME PATH PRIORITY
//! [--slave LINK NAME PATH]…`. Those calls are read from the scripts' text and done here:
//!
//! ```text
//! /usr/bin/awk -> /etc/alternatives/awk -> /usr/bin/mawk
//! /var/lib/dpkg/alternatives/awk        all offers, "auto"
//! ```
//!
//! Source: update-alternatives(1), and the files that it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::tree::{Tree, TreeError};

/// One offer: what a script would install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    link: String,
    name: String,
    path: String,
    priority: i64,
    slaves: Vec<Slave>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slave {
    link: String,
    name: String,
    path: String,
}

/// What a script says about alternatives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Calls that could be read.
    pub(super) offers: Vec<Offer>,
    /// Whether there were calls that could not be read, because they depend on variables.
    pub(super) has_unreadable: bool,
}

/// Lines of a script with continued ones joined.
pub(super) fn joined_lines(script: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for line in script.lines() {
        match line.strip_suffix('\\') {
            Some(start) => {
                current.push_str(start);
                current.push(' ');
            }
            None => {
                current.push_str(line);
                lines.push(std::mem::take(&mut current));
            }
        }
    }
    if !current.is_empty() {
        lines.push(current);
    }
    lines
}

/// Reads the offers of a script.
pub(super) fn offers(script: &str) -> Found {
    let mut found = Found::default();
    for line in joined_lines(script) {
        let line = line.trim_start();
        if line.starts_with('#')
            || !line.contains("update-alternatives")
            || !line.contains("--install")
        {
            continue;
        }
        match offer(line) {
            Some(offer) => found.offers.push(offer),
            None => found.has_unreadable = true,
        }
    }
    found
}

fn offer(line: &str) -> Option<Offer> {
    let words: Vec<&str> = line
        .split_whitespace()
        .skip_while(|word| *word != "--install")
        .take_while(|word| !matches!(*word, "||" | "&&" | "|" | "&" | ";" | "then" | "fi"))
        .map(|word| word.trim_end_matches(';').trim_matches(['"', '\'']))
        .filter(|word| !word.is_empty())
        .collect();
    if words
        .iter()
        .any(|word| word.contains(['$', '`', '(', ')', '*']))
    {
        return None;
    }
    let mut words = words.into_iter().skip(1).map(str::to_owned);
    let mut offer = Offer {
        link: words.next()?,
        name: words.next()?,
        path: words.next()?,
        priority: words.next()?.parse().ok()?,
        slaves: Vec::new(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--slave" => offer.slaves.push(Slave {
                link: words.next()?,
                name: words.next()?,
                path: words.next()?,
            }),
            redirection if redirection.contains('>') => {}
            _ => return None,
        }
    }
    let is_name = |name: &str| !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let is_path = |path: &str| path.starts_with('/') && !path.split('/').any(|part| part == "..");
    let mut slaves = offer.slaves.iter();
    let is_good = is_name(&offer.name)
        && is_path(&offer.link)
        && is_path(&offer.path)
        && slaves.all(|slave| is_name(&slave.name) && is_path(&slave.link) && is_path(&slave.path));
    is_good.then_some(offer)
}

/// Makes the links and records of all offers whose program is there.
pub(super) fn write<W: Write>(tree: &mut Tree<W>, offers: &[Offer]) -> Result<(), TreeError> {
    let mut groups: BTreeMap<&str, Vec<&Offer>> = BTreeMap::new();
    for offer in offers
        .iter()
        .filter(|offer| tree.exists_absolute(&offer.path))
    {
        let group = groups.entry(&offer.name).or_default();
        if group.iter().all(|known| known.path != offer.path) {
            group.push(offer);
        }
    }
    for (name, mut group) in groups {
        group.sort_by(|a, b| a.path.cmp(&b.path));
        // The highest priority wins; of equals the first, as they come sorted.
        let best = group
            .iter()
            .copied()
            .reduce(|a, b| if b.priority > a.priority { b } else { a });
        let Some(best) = best else { continue };
        link(tree, &best.link, name, &best.path)?;
        for slave in &best.slaves {
            if tree.exists_absolute(&slave.path) {
                link(tree, &slave.link, &slave.name, &slave.path)?;
            }
        }
        let record = record(best, &group);
        tree.file(
            &format!("var/lib/dpkg/alternatives/{name}"),
            0o644,
            record.as_bytes(),
        )?;
    }
    Ok(())
}

fn link<W: Write>(tree: &mut Tree<W>, link: &str, name: &str, path: &str) -> Result<(), TreeError> {
    tree.symlink(&format!("etc/alternatives/{name}"), path)?;
    tree.symlink(
        link.trim_start_matches('/'),
        &format!("/etc/alternatives/{name}"),
    )
}

/// `var/lib/dpkg/alternatives/<name>`: mode, master link, slaves, then each offer.
fn record(best: &Offer, group: &[&Offer]) -> String {
    let slaves: BTreeMap<&str, &str> = group
        .iter()
        .flat_map(|offer| &offer.slaves)
        .map(|slave| (slave.name.as_str(), slave.link.as_str()))
        .collect();
    let mut out = format!("auto\n{}\n", best.link);
    for (name, link) in &slaves {
        out.push_str(&format!("{name}\n{link}\n"));
    }
    out.push('\n');
    for offer in group {
        out.push_str(&format!("{}\n{}\n", offer.path, offer.priority));
        for name in slaves.keys().collect::<BTreeSet<_>>() {
            let slave = offer.slaves.iter().find(|slave| slave.name == **name);
            out.push_str(slave.map_or("", |slave| slave.path.as_str()));
            out.push('\n');
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_over_several_lines() {
        let script = "#!/bin/sh\nset -e\n# update-alternatives --install a b c d\n\
            if [ \"$1\" = configure ]; then\n    update-alternatives --quiet --install /usr/bin/pager pager \\\n\
            \t/usr/bin/less 77 --slave /usr/share/man/man1/pager.1.gz \\\n pager.1.gz \
            /usr/share/man/man1/less.1.gz || true\nfi\n";
        let found = offers(script);
        assert!(!found.has_unreadable);
        let [offer] = found.offers.as_slice() else {
            panic!("one call: {found:?}")
        };
        assert_eq!(
            (offer.name.as_str(), offer.path.as_str(), offer.priority),
            ("pager", "/usr/bin/less", 77)
        );
        assert_eq!(offer.slaves[0].name, "pager.1.gz");
        assert!(record(offer, &[offer]).starts_with("auto\n/usr/bin/pager\npager.1.gz\n"));
    }

    #[test]
    fn calls_with_variables_are_not_guessed() {
        let found = offers("update-alternatives --install \"$BIN\"/x x \"$BIN\"/x.procps 50\n");
        assert_eq!(
            found,
            Found {
                offers: vec![],
                has_unreadable: true
            }
        );
        assert!(offers("update-alternatives --install /a b/../c /d 1").has_unreadable);
        assert!(offers("update-alternatives --install /a b").has_unreadable);
    }
}
