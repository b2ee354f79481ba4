//! What recipes of common packages set, as a table.
//!
//! Source: `setup_run_environment` and `setup_dependent_run_environment` of these packages in
//! Spack's `builtin` repository, early 2026. Of 8,690 packages there 466 set something; those here
//! are interpreters, compilers, MPIs and what simulations are made of.

use super::modification::Modification;
use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes, VariantValue};

/// Whether what this package's recipe sets is known.
#[must_use]
pub fn is_in_table(name: &str) -> bool {
    TABLE.iter().any(|row| row.package == name)
}

/// Whether a recipe (the text of a `package.py`) sets variables at run time. Packages for which it
/// does and that are not [in the table](is_in_table) may miss them.
#[must_use]
pub fn recipe_sets_variables(recipe: &str) -> bool {
    [
        "def setup_run_environment(",
        "def setup_dependent_run_environment(",
    ]
    .iter()
    .any(|definition| recipe.contains(definition))
}

/// What a recipe may look at.
pub(super) struct Surroundings<'a> {
    pub(super) specs: &'a ConcreteSpecs,
    pub(super) prefix: &'a dyn Fn(&ConcreteSpec) -> Option<String>,
    pub(super) is_directory: &'a dyn Fn(&str) -> bool,
    /// Who links or runs the package.
    pub(super) dependents: &'a [&'a ConcreteSpec],
}

/// What the recipe of `spec` sets: first for each dependent, then for itself.
pub(super) fn modifications(
    spec: &ConcreteSpec,
    prefix: &str,
    surroundings: &Surroundings<'_>,
) -> Vec<Modification> {
    let rows: Vec<&Row> = TABLE
        .iter()
        .filter(|row| row.package == spec.name)
        .collect();
    let mut out = Vec::new();
    if rows.is_empty() {
        return out;
    }
    for dependent in surroundings.dependents {
        let Some(dependent_prefix) = (surroundings.prefix)(dependent) else {
            continue;
        };
        for row in rows.iter().filter(|row| row.scope == Scope::Dependent) {
            if holds(row, spec, dependent) {
                let text = filled(
                    row.value,
                    spec,
                    prefix,
                    &dependent_prefix,
                    surroundings.specs,
                );
                out.extend(modification(row, text, surroundings));
            }
        }
    }
    for row in rows.iter().filter(|row| row.scope == Scope::Own) {
        if holds(row, spec, spec) {
            let text = filled(row.value, spec, prefix, "", surroundings.specs);
            out.extend(modification(row, text, surroundings));
        }
    }
    out
}

/// One thing that one recipe sets.
struct Row {
    package: &'static str,
    scope: Scope,
    when: When,
    action: Action,
    name: &'static str,
    /// With `{prefix}`, `{dependent}` (its prefix), `{x.y}` (the first two numbers of the version)
    /// and `{python}` (those of the python that the package depends on).
    value: &'static str,
}

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// For itself.
    Own,
    /// For everyone who links or runs it.
    Dependent,
}

/// On what condition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// This boolean variant is on, or this value is among those of the variant.
    Variant(&'static str, &'static str),
    /// The dependent's name begins like this: recipes of extensions are named so.
    Extension(&'static str),
    /// The dependent is a Python extension that does not use `python-venv`.
    OldPythonExtension,
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Set,
    Unset,
    Prepend,
    /// Only if the directory is there.
    PrependDirectory,
    Append,
    /// With blanks between, only if the directory is there.
    PrependWord,
    /// With semicolons between.
    PrependPattern,
    /// Only if the directory is there.
    SetDirectory,
}

const fn own(
    package: &'static str,
    action: Action,
    name: &'static str,
    value: &'static str,
) -> Row {
    Row {
        package,
        scope: Scope::Own,
        when: When::Always,
        action,
        name,
        value,
    }
}

const fn own_if(package: &'static str, when: When, name: &'static str, value: &'static str) -> Row {
    Row {
        package,
        scope: Scope::Own,
        when,
        action: Action::Set,
        name,
        value,
    }
}

const fn dependent(
    package: &'static str,
    when: When,
    action: Action,
    name: &'static str,
    value: &'static str,
) -> Row {
    Row {
        package,
        scope: Scope::Dependent,
        when,
        action,
        name,
        value,
    }
}

use Action::{
    Append, Prepend, PrependDirectory, PrependPattern, PrependWord, Set, SetDirectory, Unset,
};
use When::{Always, Extension, OldPythonExtension, Variant};

/// Rows of one package stand together, in the order in which the recipe does these things.
const TABLE: &[Row] = &[
    own("boost", Set, "BOOST_ROOT", "{prefix}"),
    own("cuda", Set, "CUDA_HOME", "{prefix}"),
    own("cuda", Set, "NVHPC_CUDA_HOME", "{prefix}"),
    own("cudnn", Prepend, "LD_LIBRARY_PATH", "{prefix}/lib"),
    own_if("gcc", Variant("languages", "c"), "CC", "{prefix}/bin/gcc"),
    own_if(
        "gcc",
        Variant("languages", "c++"),
        "CXX",
        "{prefix}/bin/g++",
    ),
    own_if(
        "gcc",
        Variant("languages", "fortran"),
        "FC",
        "{prefix}/bin/gfortran",
    ),
    own_if(
        "gcc",
        Variant("languages", "fortran"),
        "F77",
        "{prefix}/bin/gfortran",
    ),
    dependent("glib", Always, Prepend, "XDG_DATA_DIRS", "{prefix}/share"),
    dependent(
        "glib",
        Always,
        Prepend,
        "GI_TYPELIB_PATH",
        "{prefix}/lib/girepository-1.0",
    ),
    own(
        "glib",
        Prepend,
        "GI_TYPELIB_PATH",
        "{prefix}/lib/girepository-1.0",
    ),
    dependent(
        "gobject-introspection",
        Always,
        Prepend,
        "XDG_DATA_DIRS",
        "{prefix}/share",
    ),
    dependent(
        "gobject-introspection",
        Always,
        Prepend,
        "GI_TYPELIB_PATH",
        "{prefix}/lib/girepository-1.0",
    ),
    own(
        "gobject-introspection",
        Prepend,
        "GI_TYPELIB_PATH",
        "{prefix}/lib/girepository-1.0",
    ),
    own("hdf5", Append, "LD_LIBRARY_PATH", "{prefix}/lib"),
    dependent(
        "libfabric",
        Always,
        Prepend,
        "LD_LIBRARY_PATH",
        "{prefix}/lib",
    ),
    dependent(
        "libfabric",
        Always,
        Prepend,
        "LD_LIBRARY_PATH",
        "{prefix}/lib64",
    ),
    own("libfabric", Prepend, "LD_LIBRARY_PATH", "{prefix}/lib"),
    own("libfabric", Prepend, "LD_LIBRARY_PATH", "{prefix}/lib64"),
    own_if("llvm", Variant("clang", "true"), "CC", "{prefix}/bin/clang"),
    own_if(
        "llvm",
        Variant("clang", "true"),
        "CXX",
        "{prefix}/bin/clang++",
    ),
    own_if("llvm", Variant("flang", "true"), "FC", "{prefix}/bin/flang"),
    own_if(
        "llvm",
        Variant("flang", "true"),
        "F77",
        "{prefix}/bin/flang",
    ),
    own(
        "lua",
        PrependPattern,
        "LUA_PATH",
        "{prefix}/share/lua/{x.y}/?.lua",
    ),
    own(
        "lua",
        PrependPattern,
        "LUA_PATH",
        "{prefix}/share/lua/{x.y}/?/init.lua",
    ),
    own(
        "lua",
        PrependPattern,
        "LUA_PATH",
        "{prefix}/lib/lua/{x.y}/?.lua",
    ),
    own(
        "lua",
        PrependPattern,
        "LUA_PATH",
        "{prefix}/lib/lua/{x.y}/?/init.lua",
    ),
    own(
        "lua",
        PrependPattern,
        "LUA_CPATH",
        "{prefix}/lib/lua/{x.y}/?.so",
    ),
    own("mpich", Set, "MPICC", "{prefix}/bin/mpicc"),
    own("mpich", Set, "MPICXX", "{prefix}/bin/mpicxx"),
    own("mpich", Set, "MPIF77", "{prefix}/bin/mpif77"),
    own("mpich", Set, "MPIF90", "{prefix}/bin/mpif90"),
    own("mvapich", Set, "MPI_ROOT", "{prefix}"),
    own("mvapich", Set, "MPICC", "{prefix}/bin/mpicc"),
    own("mvapich", Set, "MPICXX", "{prefix}/bin/mpicxx"),
    own("mvapich", Set, "MPIF77", "{prefix}/bin/mpif77"),
    own("mvapich", Set, "MPIF90", "{prefix}/bin/mpif90"),
    own("mvapich2", Set, "MPI_ROOT", "{prefix}"),
    own("mvapich2", Set, "MPICC", "{prefix}/bin/mpicc"),
    own("mvapich2", Set, "MPICXX", "{prefix}/bin/mpicxx"),
    own("mvapich2", Set, "MPIF77", "{prefix}/bin/mpif77"),
    own("mvapich2", Set, "MPIF90", "{prefix}/bin/mpif90"),
    own("neuron", Prepend, "PATH", "{prefix}/bin"),
    own("neuron", Prepend, "LD_LIBRARY_PATH", "{prefix}/lib"),
    Row {
        package: "neuron",
        scope: Scope::Own,
        when: Variant("python", "true"),
        action: Prepend,
        name: "PYTHONPATH",
        value: "{prefix}/lib/python",
    },
    own("openjdk", Set, "JAVA_HOME", "{prefix}"),
    own("openmpi", Set, "MPICC", "{prefix}/bin/mpicc"),
    own("openmpi", Set, "MPICXX", "{prefix}/bin/mpic++"),
    own("openmpi", Set, "MPIF77", "{prefix}/bin/mpif77"),
    own("openmpi", Set, "MPIF90", "{prefix}/bin/mpif90"),
    own("openmpi", Set, "MPIFC", "{prefix}/bin/mpifort"),
    dependent(
        "perl",
        Extension("perl-"),
        Prepend,
        "PERL5LIB",
        "{dependent}/lib/perl5",
    ),
    own("petsc", Set, "PETSC_DIR", "{prefix}"),
    own("petsc", Unset, "PETSC_ARCH", ""),
    dependent(
        "python",
        OldPythonExtension,
        Prepend,
        "PYTHONPATH",
        "{dependent}/lib/python{x.y}/site-packages",
    ),
    dependent(
        "python-venv",
        Always,
        PrependDirectory,
        "PYTHONPATH",
        "{dependent}/lib/python{python}/site-packages",
    ),
    dependent(
        "python-venv",
        Extension("py-"),
        PrependDirectory,
        "PATH",
        "{dependent}/bin",
    ),
    own("qt", Set, "QTDIR", "{prefix}"),
    own("qt", Set, "QTINC", "{prefix}/inc"),
    own("qt", Set, "QTLIB", "{prefix}/lib"),
    own("qt", Prepend, "QT_PLUGIN_PATH", "{prefix}/plugins"),
    own("qt-base", Prepend, "QMAKEPATH", "{prefix}"),
    own(
        "qt-base",
        PrependDirectory,
        "QMAKE_MODULE_PATH",
        "{prefix}/mkspecs/modules",
    ),
    own(
        "qt-base",
        PrependDirectory,
        "QT_PLUGIN_PATH",
        "{prefix}/plugins",
    ),
    dependent("r", Always, Set, "R_HOME", "{prefix}/rlib/R"),
    dependent(
        "r",
        Extension("r-"),
        Prepend,
        "R_LIBS",
        "{dependent}/rlib/R/library",
    ),
    own("r", Prepend, "LD_LIBRARY_PATH", "{prefix}/rlib/R/lib"),
    own("r", Prepend, "PKG_CONFIG_PATH", "{prefix}/rlib/pkgconfig"),
    own("r", Set, "R_HOME", "{prefix}/rlib/R"),
    Row {
        package: "r",
        scope: Scope::Own,
        when: Variant("rmath", "true"),
        action: Prepend,
        name: "LD_LIBRARY_PATH",
        value: "{prefix}/rlib",
    },
    dependent(
        "ruby",
        Extension("ruby-"),
        Prepend,
        "GEM_PATH",
        "{dependent}",
    ),
    own("slepc", Set, "SLEPC_DIR", "{prefix}"),
    dependent(
        "tcl",
        Extension("tcl-"),
        PrependWord,
        "TCLLIBPATH",
        "{dependent}/lib",
    ),
    dependent(
        "tcl",
        Extension("tcl-"),
        PrependWord,
        "TCLLIBPATH",
        "{dependent}/lib64",
    ),
    own("tcl", SetDirectory, "TCL_LIBRARY", "{prefix}/lib/tcl{x.y}"),
    own("tk", SetDirectory, "TK_LIBRARY", "{prefix}/lib/tk{x.y}"),
];

fn holds(row: &Row, spec: &ConcreteSpec, dependent: &ConcreteSpec) -> bool {
    match row.when {
        Always => true,
        Variant(name, value) => match spec.variants.get(name) {
            Some(VariantValue::Bool(on)) => *on && value == "true",
            Some(VariantValue::Single(single)) => single == value,
            Some(VariantValue::Multi(values)) => values.iter().any(|it| it == value),
            None => false,
        },
        Extension(start) => dependent.name.starts_with(start),
        OldPythonExtension => {
            dependent.build_system() == Some("python_pip")
                && !dependent
                    .edges
                    .iter()
                    .any(|edge| edge.name == "python-venv")
        }
    }
}

fn filled(
    value: &str,
    spec: &ConcreteSpec,
    prefix: &str,
    dependent: &str,
    specs: &ConcreteSpecs,
) -> String {
    let python = || {
        let edge = spec
            .edges_of(DepTypes::ALL)
            .find(|edge| edge.name == "python");
        let version = edge
            .and_then(|edge| specs.get(&edge.hash))
            .map(|it| it.version.as_str());
        up_to_two(version.unwrap_or_default())
    };
    let mut out = value.replace("{x.y}", &up_to_two(&spec.version));
    if out.contains("{python}") {
        out = out.replace("{python}", &python());
    }
    out.replace("{prefix}", prefix)
        .replace("{dependent}", dependent)
}

fn up_to_two(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn modification(row: &Row, value: String, surroundings: &Surroundings<'_>) -> Option<Modification> {
    let name = row.name.to_owned();
    let is_there = |path: &str| (surroundings.is_directory)(path);
    let needs_directory = matches!(row.action, PrependDirectory | PrependWord | SetDirectory);
    if needs_directory && !is_there(&value) {
        return None;
    }
    Some(match row.action {
        Set | SetDirectory => Modification::Set { name, value },
        Unset => Modification::Unset { name },
        Prepend | PrependDirectory => Modification::PrependPath {
            name,
            value,
            separator: ':',
        },
        Append => Modification::AppendPath {
            name,
            value,
            separator: ':',
        },
        PrependWord => Modification::PrependPath {
            name,
            value,
            separator: ' ',
        },
        PrependPattern => Modification::PrependPath {
            name,
            value,
            separator: ';',
        },
    })
}
