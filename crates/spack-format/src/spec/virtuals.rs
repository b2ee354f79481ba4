//! Names of virtual packages.

use std::collections::BTreeSet;

/// Virtual packages of the recipe repository `builtin` in its release 2026.06, sorted.
const BUILTIN: &[&str] = &[
    "armci",
    "awk",
    "blas",
    "c",
    "cxx",
    "daal",
    "elf",
    "fftw-api",
    "flame",
    "fortran",
    "fortran-rt",
    "fuse",
    "gl",
    "glu",
    "go-or-gccgo-bootstrap",
    "golang",
    "iconv",
    "ipp",
    "java",
    "jpeg",
    "lapack",
    "libc",
    "libgfortran",
    "libglx",
    "libifcore",
    "libllvm",
    "lua-lang",
    "luajit",
    "mariadb-client",
    "mkl",
    "mpe",
    "mpi",
    "mysql-client",
    "onedal",
    "opencl",
    "pbs",
    "pil",
    "pkgconfig",
    "qmake",
    "rpc",
    "scalapack",
    "sycl",
    "szip",
    "tbb",
    "unwind",
    "uuid",
    "wasi-sdk",
    "xkbdata-api",
    "xxd",
    "yacc",
    "ziglang",
    "zlib-api",
];

/// Which names are virtual, and which packages stand for them.
///
/// Spack asks the recipes. Here, names of the `builtin` repository are known, and whatever edges of concrete specs say:
/// a virtual on an edge is one, and the dependency at its end stands for it. A package that no edge shows in that role
/// is taken not to stand for any, and the version of a virtual (`mpi@3:`) is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Virtuals {
    more: BTreeSet<String>,
}

impl Virtuals {
    /// Those of the repository `builtin`.
    #[must_use]
    pub fn builtin() -> Self {
        Self::default()
    }

    /// Adds a name.
    pub fn insert(&mut self, name: &str) {
        if !self.contains(name) {
            self.more.insert(name.to_owned());
        }
    }

    /// Whether the name is that of a virtual package.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        BUILTIN.binary_search(&name).is_ok() || self.more.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert!(BUILTIN.is_sorted());
        let mut virtuals = Virtuals::builtin();
        assert!(virtuals.contains("mpi") && !virtuals.contains("zapi"));
        virtuals.insert("zapi");
        assert!(virtuals.contains("zapi"));
    }
}
