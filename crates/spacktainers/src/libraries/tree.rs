//! The files and symbolic links of an image, as far as the dynamic linker asks for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Links the kernel follows before it answers ELOOP.
const MOST_LINKS: usize = 40;

/// Paths without a leading slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    links: BTreeMap<String, String>,
}

impl Tree {
    /// Puts a file, over whatever was there.
    pub fn file(&mut self, path: &str) {
        self.links.remove(path);
        self.files.insert(path.to_owned());
    }

    /// Puts a folder, over whatever else was there.
    pub fn folder(&mut self, path: &str) {
        self.files.remove(path);
        self.links.remove(path);
        self.folders.insert(path.to_owned());
    }

    /// Puts a symbolic link, over whatever was there.
    pub fn link(&mut self, path: &str, target: &str) {
        self.files.remove(path);
        self.links.insert(path.to_owned(), target.to_owned());
    }

    /// Removes a file, a link, or a folder with all that is in it.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
        self.folders.remove(path);
        self.links.remove(path);
        self.empty(path);
    }

    /// Removes all that is in a folder.
    pub fn empty(&mut self, folder: &str) {
        let start = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        self.files.retain(|path| !path.starts_with(&start));
        self.folders.retain(|path| !path.starts_with(&start));
        self.links.retain(|path, _| !path.starts_with(&start));
    }

    /// The file that `path` (absolute or from the root) leads to, if there is one.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<String> {
        self.resolve(path)
            .filter(|found| self.files.contains(found))
    }

    /// Whether `path` leads to a folder.
    #[must_use]
    pub fn has_folder(&self, path: &str) -> bool {
        self.resolve(path)
            .is_some_and(|found| self.folders.contains(&found))
    }

    /// Where `path` leads, be there anything or not; nothing if links lead in a circle.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut pending: VecDeque<String> = parts(path);
        let mut here: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == ".." {
                here.pop();
                continue;
            }
            here.push(part);
            if let Some(target) = self.links.get(&here.join("/")) {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                here.pop();
                if target.starts_with('/') {
                    here.clear();
                }
                for part in parts(target).into_iter().rev() {
                    pending.push_front(part);
                }
            }
        }
        Some(here.join("/"))
    }
}

fn parts(path: &str) -> VecDeque<String> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
        .collect()
}
