//! Annotation and label keys.
//!
//! `org.opencontainers.image.*` is from the OCI image specification, `annotations.md`;
//! `org.spacktainers.*` is ours.

/// When the image was made, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Who is responsible for the image.
pub const AUTHORS: &str = "org.opencontainers.image.authors";
/// Where to find out more.
pub const URL: &str = "org.opencontainers.image.url";
/// Where the documentation is.
pub const DOCUMENTATION: &str = "org.opencontainers.image.documentation";
/// Where the sources of the image are; some registries link the image to that repository.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// The version of the packaged software.
pub const VERSION: &str = "org.opencontainers.image.version";
/// The source-control revision of the packaged software.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// Who distributes the image.
pub const VENDOR: &str = "org.opencontainers.image.vendor";
/// Licences, an SPDX expression.
pub const LICENSES: &str = "org.opencontainers.image.licenses";
/// In an image layout's `index.json`: the name of a manifest.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// A title for people.
pub const TITLE: &str = "org.opencontainers.image.title";
/// A description for people.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// Digest of the base image's manifest.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// Reference of the base image.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Digest of the container definition that the image was made from.
pub const DEFINITION_DIGEST: &str = "org.spacktainers.definition.digest";
/// Digest of the `container.lock` that the image was made from.
pub const LOCK_DIGEST: &str = "org.spacktainers.lock.digest";
/// Digest of the `spack.lock` that the image was made from.
pub const SPACK_LOCK_DIGEST: &str = "org.spacktainers.spack-lock.digest";
/// The least microarchitecture that runs every package: `x86_64_v3`.
pub const MICROARCHITECTURE: &str = "org.spacktainers.target";
/// The oldest glibc that every program of the packages starts with: `2.36`.
pub const GLIBC_FLOOR: &str = "org.spacktainers.glibc";
/// The MPI family of the packages: `mpich`, `openmpi`.
pub const MPI_FAMILY: &str = "org.spacktainers.mpi.family";
/// The MPI's binary interface: `mpich-3.4`, `openmpi-4`.
pub const MPI_ABI: &str = "org.spacktainers.mpi.abi";
/// The roots of the environment, as specs.
pub const SPECS: &str = "org.spacktainers.specs";
/// Digest of the manifest of the image that a SIF file was made from.
pub const IMAGE_DIGEST: &str = "org.spacktainers.image.digest";
/// Digest of the tree of an image: names, modes, owners, links and contents.
pub const TREE_DIGEST: &str = "org.spacktainers.tree.digest";
