//! Many prefixes merged into one tree of directories and files.

use std::collections::BTreeMap;

use super::tree::{Kind, NodeId, Tree, join};

/// Where a name in the view comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// The package's place in the list of packages.
    pub(super) package: usize,
    /// The path below the package's prefix.
    pub(super) path: Vec<u8>,
}

/// Two sources for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash {
    pub(super) path: Vec<u8>,
    /// Who came first; `None` if a projection needs a directory there.
    pub(super) first: Option<Source>,
    pub(super) second: Option<Source>,
}

/// A merge in progress.
pub(super) struct Merge<'a> {
    tree: &'a Tree,
    prefixes: &'a [&'a str],
    /// The name of files and directories that are passed over.
    ignore: Option<&'a [u8]>,
    projection: Vec<u8>,
    /// Directories to make, and the source of the first that needs it (`None`: a projection).
    pub(super) directories: BTreeMap<Vec<u8>, Option<Source>>,
    /// Files to link.
    pub(super) files: BTreeMap<Vec<u8>, Source>,
    /// Files that lost against another one.
    pub(super) file_clashes: Vec<Clash>,
    /// Files against directories: nothing can be done about them.
    pub(super) fatal_clashes: Vec<Clash>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(tree: &'a Tree, prefixes: &'a [&'a str], ignore: Option<&'a [u8]>) -> Self {
        Self {
            tree,
            prefixes,
            ignore,
            projection: Vec::new(),
            directories: BTreeMap::new(),
            files: BTreeMap::new(),
            file_clashes: Vec::new(),
            fatal_clashes: Vec::new(),
        }
    }

    /// Sets the place in the view for what is added next, and makes its directories.
    pub(super) fn set_projection(&mut self, projection: &[u8]) {
        self.projection = projection.to_vec();
        let mut path = Vec::new();
        for part in projection
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
        {
            path = join(&path, part);
            match self.files.get(&path) {
                Some(file) => self.fatal_clashes.push(Clash {
                    path: path.clone(),
                    first: Some(file.clone()),
                    second: None,
                }),
                None => {
                    self.directories.insert(path.clone(), None);
                }
            }
        }
    }

    /// Adds all that lies in `folder` below a package's prefix, depth first, names sorted.
    pub(super) fn add(&mut self, package: usize, folder: &[u8]) {
        let start = [self.prefix(package), b"/", folder].concat();
        let Some(start) = self.tree.find(&start) else {
            return;
        };
        // An explicit stack: depth is the input's choice. Paths are relative to `folder`.
        let mut stack = vec![self.frame(start, Vec::new(), 0)];
        while let Some(frame) = stack.last_mut() {
            let Some((name, node)) = frame.children.next() else {
                stack.pop();
                continue;
            };
            let (relative, depth) = (join(&frame.path, &name), frame.depth);
            let source = Source {
                package,
                path: join(folder, &relative),
            };
            if self.ignore == Some(name.as_slice()) {
                continue;
            }
            let target = [&self.projection, relative.as_slice()];
            let target = if target[0].is_empty() {
                relative.clone()
            } else {
                target.join(&b'/')
            };
            let inside = match self.tree.kind(node) {
                Kind::File { .. } => {
                    self.file(target, source, false);
                    None
                }
                Kind::Directory => self.directory(target, source).then_some(node),
                Kind::Symlink => self.symlink(target, source, depth),
            };
            if let Some(inside) = inside {
                stack.push(self.frame(inside, relative, depth + 1));
            }
        }
    }

    fn frame(&self, node: NodeId, path: Vec<u8>, depth: usize) -> Frame {
        let children: Vec<_> = self
            .tree
            .children(node)
            .into_iter()
            .map(|(name, node)| (name.to_vec(), node))
            .collect();
        Frame {
            children: children.into_iter(),
            path,
            depth,
        }
    }

    fn prefix(&self, package: usize) -> &'a [u8] {
        self.prefixes
            .get(package)
            .map_or(b"", |prefix| prefix.as_bytes())
    }

    fn absolute(&self, source: &Source) -> Vec<u8> {
        [self.prefix(source.package), b"/", &source.path].concat()
    }

    fn same_file(&self, a: &Source, b: &Source) -> bool {
        self.tree.same_file(&self.absolute(a), &self.absolute(b))
    }

    /// A link to a directory becomes a directory if it is at most one level deep and leads to a
    /// place below its own folder; so `lib64 -> lib` merges, and nothing can go round in circles.
    fn symlink(&mut self, target: Vec<u8>, source: Source, depth: usize) -> Option<NodeId> {
        /// Deeper links are never followed.
        const DEEPEST: usize = 1;
        let path = self.absolute(&source);
        let resolved = self.tree.resolve(&path);
        let directory = match &resolved {
            Some((_, Some(node))) if self.tree.kind(*node) == Kind::Directory => Some(*node),
            _ => None,
        };
        if let (Some(node), Some((real, _))) = (directory, &resolved)
            && depth <= DEEPEST
        {
            let (folder, _) = super::tree::split(&path);
            // Compared as text, not by components: so does Spack.
            if self
                .tree
                .resolve(folder)
                .is_some_and(|(folder, _)| real.starts_with(&folder))
            {
                return self.directory(target, source).then_some(node);
            }
        }
        self.file(target, source, true);
        None
    }

    /// Whether what is inside is to be visited.
    fn directory(&mut self, target: Vec<u8>, source: Source) -> bool {
        if let Some(file) = self.files.get(&target) {
            // A link that was linked as a file before, to this very directory, gives way.
            if !self.same_file(file, &source) {
                let first = Some(file.clone());
                self.fatal_clashes.push(Clash {
                    path: target,
                    first,
                    second: Some(source),
                });
                return false;
            }
            self.files.remove(&target);
        }
        self.directories.entry(target).or_insert(Some(source));
        true
    }

    fn file(&mut self, target: Vec<u8>, source: Source, symlink: bool) {
        if let Some(directory) = self.directories.get(&target) {
            let same = directory
                .as_ref()
                .is_some_and(|it| self.same_file(it, &source));
            if !symlink || !same {
                let first = directory.clone();
                self.fatal_clashes.push(Clash {
                    path: target,
                    first,
                    second: Some(source),
                });
            }
        } else if let Some(file) = self.files.get(&target) {
            if !self.same_file(file, &source) {
                let first = Some(file.clone());
                self.file_clashes.push(Clash {
                    path: target,
                    first,
                    second: Some(source),
                });
            } else if !symlink {
                // The file itself rather than a link to it.
                self.files.insert(target, source);
            }
        } else {
            self.files.insert(target, source);
        }
    }
}

struct Frame {
    children: std::vec::IntoIter<(Vec<u8>, NodeId)>,
    path: Vec<u8>,
    depth: usize,
}
