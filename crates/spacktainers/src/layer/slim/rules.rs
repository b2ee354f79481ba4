//! What the profile `runtime` takes out, rule by rule.
//!
//! Two things count for each: who reads these files, and who might when a program runs. Where the second cannot be excluded,
//! they stay. In doubt about one package, `[slim.packages.NAME] keep = [...]` or `profile = "full"` settles it.

use serde::{Deserialize, Serialize};

/// Changes with what the rules say of the same path.
pub const RULES_VERSION: u32 = 1;

/// Why a path goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// `include/`: compilers read it. Not `pyconfig.h`, which Python's `sysconfig` reads when a program asks for paths; and
    /// headers elsewhere stay: those in Python, Perl and R libraries are found by compiling extensions at run time.
    Headers,
    /// `*.a`: the linker reads them.
    StaticArchives,
    /// `lib/*.la`: libtool reads them when it links. Those deeper down stay: programs that load plugins by libltdl, such as
    /// ImageMagick, look for their `.la`.
    Libtool,
    /// `pkgconfig/`: `pkg-config` reads it to compile against the package.
    PkgConfig,
    /// `lib/cmake/` and `share/cmake/`: CMake reads it to compile against the package. CMake's own modules lie in
    /// `share/cmake-VERSION/`.
    Cmake,
    /// `man/`: people read it.
    Manuals,
    /// `info/`: people read it.
    Info,
    /// `doc/`, `share/doc/`, `share/gtk-doc/`: people read it. Licence texts stay: they have to go with the programs.
    Documentation,
    /// What Spack keeps of a build below `.spack/`: logs, the environment of the build, copies of recipes, results of tests. What
    /// Spack asks an installed package for stays, see [`is_needed`].
    BuildRecords,
    /// A `drop` pattern.
    Asked,
    /// A symbolic link to something that goes, or a folder with nothing left in it.
    Left,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Headers,
        Self::StaticArchives,
        Self::Libtool,
        Self::PkgConfig,
        Self::Cmake,
        Self::Manuals,
        Self::Info,
        Self::Documentation,
        Self::BuildRecords,
        Self::Asked,
        Self::Left,
    ];

    /// As reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::StaticArchives => "static archives",
            Self::Libtool => "libtool files",
            Self::PkgConfig => "pkg-config files",
            Self::Cmake => "CMake files",
            Self::Manuals => "manual pages",
            Self::Info => "info pages",
            Self::Documentation => "documentation",
            Self::BuildRecords => "build records",
            Self::Asked => "asked for",
            Self::Left => "links to what went",
        }
    }
}

/// Packages whose programs compile when users run them: what others take for headers and archives of developers is what these
/// read.
const COMPILE: &[&str] = &[
    // Compilers: their own headers, start files and libraries.
    "acfl",
    "aocc",
    "chapel",
    "cmake",
    "cuda",
    "fpc",
    "gcc",
    "ghc",
    "go",
    "hip",
    "hipcc",
    "intel-oneapi-compilers",
    "ispc",
    "julia",
    "ldc",
    "llvm",
    "llvm-amdgpu",
    "nag",
    "nvhpc",
    "ocaml",
    "rust",
    "tcc",
    "vala",
    // Tools that build others: their m4 macros and templates.
    "autoconf",
    "automake",
    "bison",
    "flex",
    "libtool",
    "m4",
    "pkgconf",
    "swig",
    // Interpreters and simulators that compile what users write.
    "cling",
    "coreneuron",
    "neuron",
    "nmodl",
    "openfoam",
    "openfoam-org",
    "root",
    "xeus-cling",
];

/// Whether programs of a package compile when they run, so that `runtime` leaves it whole.
#[must_use]
pub fn compiles_at_run_time(package: &str) -> bool {
    COMPILE.contains(&package)
}

/// How names of licence texts begin, in capitals.
const LICENCES: &[&str] = &[
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "PATENTS",
];

/// What Spack writes into `.spack/` and asks nothing of afterwards.
///
/// Source: `lib/spack/spack/store.py` and `package_base.py` in Spack, names of files in an installed package's metadata folder.
const RECORDS: &[&str] = &["archived-files", "errors.txt", "repos", "test"];

/// Whether a path has to be there: without `spec.json` Spack does not know an installed package any more, and archives are
/// known by `binary_distribution`; manifests tell what was installed.
#[must_use]
pub fn is_needed(path: &str) -> bool {
    matches!(
        path,
        ".spack"
            | ".spack/spec.json"
            | ".spack/spec.yaml"
            | ".spack/spec.json.sig"
            | ".spack/binary_distribution"
            | ".spack/install_manifest.json"
            | ".spack/install_environment.json"
    )
}

/// Why `runtime` takes out a path below a package's prefix; nothing if it stays.
#[must_use]
pub fn cause(path: &str) -> Option<Cause> {
    let mut parts = path.split('/');
    let (first, second, third) = (parts.next()?, parts.next(), parts.next());
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_library = matches!(first, "lib" | "lib32" | "lib64");
    match (first, second) {
        ("include", _) => return (name != "pyconfig.h").then_some(Cause::Headers),
        ("man", _) | ("share", Some("man")) => return Some(Cause::Manuals),
        ("info", _) | ("share", Some("info")) => return Some(Cause::Info),
        ("doc", _) | ("share", Some("doc" | "gtk-doc")) => {
            return (!is_licence(name)).then_some(Cause::Documentation);
        }
        (_, Some("pkgconfig")) if is_library || first == "share" => return Some(Cause::PkgConfig),
        (_, Some("cmake")) if is_library || first == "share" => return Some(Cause::Cmake),
        (".spack", Some(record)) => {
            let goes = RECORDS.contains(&record) || record.starts_with("spack-");
            return goes.then_some(Cause::BuildRecords);
        }
        _ => {}
    }
    if name.ends_with(".a") && name.len() > 2 {
        return Some(Cause::StaticArchives);
    }
    (is_library && third.is_none() && name.ends_with(".la")).then_some(Cause::Libtool)
}

fn is_licence(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    LICENCES.iter().any(|it| name.starts_with(it))
}

/// Why a program or library keeps its symbols under our own rules; nothing if it may lose them.
///
/// - Valgrind's own libraries and tools: it finds what it replaces by their symbols (its manual, "Required symbols").
/// - The dynamic linker and the thread library: debuggers find threads and breakpoints by symbols that they do not export
///   (glibc's `nptl_version`; Debian's rules for libc6 keep them, too).
#[must_use]
pub fn keeps_symbols(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| part == "valgrind")
        || name.starts_with("vgpreload_")
        || name.starts_with("ld-linux")
        || (name.starts_with("ld-") && name.contains(".so"))
        || name.starts_with("libpthread")
}
