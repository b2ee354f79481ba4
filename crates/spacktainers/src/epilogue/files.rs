//! The files that an epilogue copies: found below the definition's folder, and nowhere else.

use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use oci_format::{Digest, DigestWriter};

use super::{Epilogue, EpilogueError};

/// Links may lead in circles.
const DEEPEST: usize = 64;

/// What a pattern names, sorted: each with the name by which it was found.
pub(super) fn matching(
    pattern: &str,
    folder: &Path,
    place: &Range<usize>,
) -> Result<Vec<PathBuf>, EpilogueError> {
    let outside = || EpilogueError::Outside {
        place: place.clone(),
        path: pattern.to_owned(),
    };
    // `/etc` is `etc` of the context, as Docker has it.
    let relative = pattern.trim_start_matches('/');
    let mut components = Path::new(relative).components();
    if components.any(|it| matches!(it, Component::ParentDir)) {
        return Err(outside());
    }
    let plain = folder.join(relative);
    let found = match fs::symlink_metadata(&plain) {
        Ok(_) => vec![plain],
        Err(_) => by_pattern(relative, folder),
    };
    if found.is_empty() {
        return Err(EpilogueError::NoFile {
            place: place.clone(),
            path: pattern.to_owned(),
        });
    }
    // A link out of the folder would let a definition read the machine that builds it.
    let read = |path: &Path| {
        let path = path.to_owned();
        |source| EpilogueError::Read { path, source }
    };
    let root = fs::canonicalize(folder).map_err(read(folder))?;
    for path in &found {
        let real = fs::canonicalize(path).map_err(read(path))?;
        if !real.starts_with(&root) {
            return Err(outside());
        }
    }
    Ok(found)
}

fn by_pattern(relative: &str, folder: &Path) -> Vec<PathBuf> {
    let escaped = glob::Pattern::escape(&folder.display().to_string());
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::default()
    };
    match glob::glob_with(&format!("{escaped}/{relative}"), options) {
        Ok(paths) => paths.flatten().collect(),
        Err(_) => Vec::new(),
    }
}

/// Calls `visit` with everything below `path`, itself first, folders before what is in them, in order of names.
pub(super) fn walk(
    path: &Path,
    below: &Path,
    visit: &mut dyn FnMut(&Path, &Path, &Metadata) -> Result<(), EpilogueError>,
) -> Result<(), EpilogueError> {
    walk_deep(path, below, visit, 0)
}

fn walk_deep(
    path: &Path,
    below: &Path,
    visit: &mut dyn FnMut(&Path, &Path, &Metadata) -> Result<(), EpilogueError>,
    depth: usize,
) -> Result<(), EpilogueError> {
    let read = |source| EpilogueError::Read {
        path: path.to_owned(),
        source,
    };
    // What is named is followed; links below it are copied as they are.
    let metadata = match depth {
        0 => fs::metadata(path),
        _ => fs::symlink_metadata(path),
    };
    let metadata = metadata.map_err(read)?;
    if depth > DEEPEST {
        return Err(read(io::Error::other("folders are nested too deeply")));
    }
    visit(path, below, &metadata)?;
    if metadata.is_dir() {
        let mut names = fs::read_dir(path)
            .and_then(|entries| {
                let names = entries.map(|it| it.map(|it| it.file_name()));
                names.collect::<io::Result<Vec<_>>>()
            })
            .map_err(read)?;
        names.sort();
        for name in names {
            walk_deep(&path.join(&name), &below.join(&name), visit, depth + 1)?;
        }
    }
    Ok(())
}

/// Digest of all that `epilogue` copies: names, modes, contents. Nothing where it copies nothing.
///
/// Where a name depends on a variable, everything in the folder counts.
///
/// # Errors
/// When a file is not there or cannot be read.
pub fn files_digest(epilogue: &Epilogue, folder: &Path) -> Result<Option<Digest>, EpilogueError> {
    let mut text = DigestWriter::new(io::sink());
    let mut is_any = false;
    let tell = |out: &mut DigestWriter<io::Sink>, line: String| {
        // A sink takes everything.
        let _ = io::Write::write_all(out, line.as_bytes());
    };
    for (pattern, place) in epilogue.sources() {
        is_any = true;
        let found = match pattern.contains('$') {
            true => vec![folder.to_owned()],
            false => matching(pattern, folder, place)?,
        };
        tell(&mut text, format!("pattern {}\n{pattern}\n", pattern.len()));
        for path in found {
            walk(&path, Path::new(""), &mut |path, below, metadata| {
                let read = |source| EpilogueError::Read {
                    path: path.to_owned(),
                    source,
                };
                // Ours, and it changes with every build.
                if path.file_name().is_some_and(|it| it == "container.lock") {
                    return Ok(());
                }
                let below = below.to_string_lossy();
                let mode = metadata.permissions().mode() & 0o7777;
                let content = if metadata.is_file() {
                    let mut file = File::open(path).map_err(read)?;
                    let mut hash = DigestWriter::new(io::sink());
                    io::copy(&mut file, &mut hash).map_err(read)?;
                    hash.finish().1.to_string()
                } else if metadata.is_symlink() {
                    let target = fs::read_link(path).map_err(read)?;
                    format!("-> {}", target.display())
                } else {
                    String::new()
                };
                tell(
                    &mut text,
                    format!("{} {below} {mode:o} {content}\n", below.len()),
                );
                Ok(())
            })?;
        }
    }
    Ok(is_any.then(|| text.finish().1))
}
