//! What can be wrong with an install tree.

use std::io;
use std::path::PathBuf;

use spack_format::dag_hash::DagHash;

/// Why packages of an install tree cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstallTreeError {
    /// No database.
    #[error(
        "`{}` is no install tree of Spack: there is no `.spack-db/index.json` in it; give the root that `spack location -S` or `config:install_tree:root` names",
        root.display()
    )]
    NoDatabase {
        /// The folder.
        root: PathBuf,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A root that is not UTF-8.
    #[error("`{}` is not UTF-8, and Spack's files are", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// A database that cannot be used.
    #[error("`{}` is not a database that can be used: {why}", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A text that is no spec.
    #[error("`{text}` is not a spec: {why}")]
    Spec {
        /// The text.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// Nothing installed matches.
    #[error("no package in `{root}` matches `{text}`")]
    NoMatch {
        /// The spec.
        text: String,
        /// The tree.
        root: String,
    },
    /// The package is not there.
    #[error("/{hash} is not installed in `{root}`")]
    NotInstalled {
        /// The package.
        hash: DagHash,
        /// The tree.
        root: String,
    },
    /// A `.spack/spec.json` that is none, or of another package.
    #[error("`{}` is not the spec file of its package: {why}", file.display())]
    SpecFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A package in another tree, such as an upstream one.
    #[error("`{prefix}` is not below `{root}`: push it from the tree that it lies in")]
    Elsewhere {
        /// Where the package lies.
        prefix: String,
        /// The tree.
        root: String,
    },
    /// A dependency of which nobody knows where it lies.
    #[error(
        "{package} may name the prefix of {dependency}, and the database does not say where that is: `spack reindex` may help"
    )]
    NoPrefix {
        /// The package.
        package: String,
        /// The dependency.
        dependency: String,
    },
}
