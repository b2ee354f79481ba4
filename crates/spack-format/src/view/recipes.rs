//! What recipes change in views, told from a package's name and build system.
//!
//! Recipes are programs, so this is a table of what the packages of Spack's `builtin` repository
//! do. Packages that are not in it are linked as they are.
//!
//! Source: `add_files_to_view` of `build_systems/python.py`, `packages/python`,
//! `packages/python_venv`, `packages/nektar`; `extendee_spec` in `package_base.py`.

use crate::concrete::{ConcreteSpec, ConcreteSpecs, DepTypes};

/// Packages that are Python extensions by their class, though built by something else than pip.
const PYTHON_EXTENSIONS: [&str; 30] = [
    "bufr-query",
    "esmf",
    "gdal",
    "halide",
    "ibm-databroker",
    "lammps",
    "libseccomp",
    "mxnet",
    "nvtx",
    "py-amrex",
    "py-cig-pythia",
    "py-dgl",
    "py-eprosima-fastdds",
    "py-installer",
    "py-meldmd",
    "py-onnxruntime",
    "py-pennylane-lightning",
    "py-pennylane-lightning-kokkos",
    "py-pip",
    "py-pybind11",
    "py-pykokkos-base",
    "py-pylith",
    "py-setuptools",
    "py-tensorflow",
    "py-tfdlpack",
    "py-wheel",
    "timemory",
    "tiramisu",
    "tsne-cuda",
    "warpx",
];

/// What is special about a package in a view.
#[derive(Debug, Clone, Copy)]
pub(super) enum Recipe<'a> {
    /// Nothing.
    Plain,
    /// Scripts in `bin` are copied, with the prefix of this interpreter replaced by the place in
    /// the view.
    PythonExtension {
        /// `python-venv`, else `python`.
        interpreter: &'a ConcreteSpec,
    },
    /// Files named `activate...` are copied, with the own prefix replaced.
    PythonVenv,
    /// The place in the view is made a virtual environment.
    Python,
    /// `lib/nektar++` is made a link to `lib64/nektar++`.
    Nektar,
}

/// What is special about `spec`.
pub(super) fn recipe<'a>(spec: &ConcreteSpec, specs: &'a ConcreteSpecs) -> Recipe<'a> {
    match spec.name.as_str() {
        "python" => return Recipe::Python,
        "python-venv" => return Recipe::PythonVenv,
        "nektar" => return Recipe::Nektar,
        _ => {}
    }
    if extendee(spec, specs).is_none() || !is_python_extension_class(spec) {
        return Recipe::Plain;
    }
    let dependency = |name: &str| spec.edges.iter().find(|edge| edge.name == name);
    let edge = dependency("python-venv").or_else(|| dependency("python"));
    match edge.and_then(|edge| specs.get(&edge.hash)) {
        Some(interpreter) if !interpreter.is_external() => Recipe::PythonExtension { interpreter },
        _ => Recipe::Plain,
    }
}

/// The package that `spec` extends, if any: its `python`. Recipes say so; it shows in an edge to
/// `python-venv` (Spack 0.22 and later) or in the build system.
pub(super) fn extendee<'a>(
    spec: &ConcreteSpec,
    specs: &'a ConcreteSpecs,
) -> Option<&'a ConcreteSpec> {
    let edge_to = |name: &str| {
        spec.edges_of(DepTypes::RUNTIME)
            .find(|edge| edge.name == name)
    };
    let extends = spec.name == "python-venv"
        || edge_to("python-venv").is_some()
        || spec.build_system() == Some("python_pip");
    if !extends {
        return None;
    }
    edge_to("python").and_then(|edge| specs.get(&edge.hash))
}

fn is_python_extension_class(spec: &ConcreteSpec) -> bool {
    spec.build_system() == Some("python_pip")
        || PYTHON_EXTENSIONS.binary_search(&spec.name.as_str()).is_ok()
}
