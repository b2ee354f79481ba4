//! The SIF container format: one file that holds a definition file, JSON objects, a root file system and signatures.
//!
//! ```text
//! 0 ─────────── 128 ──── 4096 ──────────────────────── 32176 ───────────────────────────────────────── end
//! │ Header      │ zeros  │ 48 descriptors × 585 bytes  │ object 1 │ object 2 │ pad │ partition │ …    │
//! └─ header                └─ descriptor, data_type, extra  └─ SifReader::object, SifWriter::begin
//! ```
//!
//! - read: [`SifReader`] checks every offset, size and count before it uses one, and names what is odd ([`Oddity`])
//! - write: [`SifWriter`] streams objects whose length is not known before; same input, same bytes
//! - change: [`SifEditor`] appends and deletes objects of a file that exists
//! - sign and verify: [`signature`] makes and checks the text that is signed; keys are the caller's affair
//!
//! All integers are little-endian and structures are packed.
//!
//! Source: `apptainer/sif`, `pkg/sif` (`sif.go`, `descriptor.go`, `create.go`); figures checked against files that
//! Apptainer 1.4.5 wrote.

mod arch;
mod bytes;
mod data_type;
mod descriptor;
mod editor;
mod error;
mod extra;
mod header;
mod image_id;
mod object;
mod oddity;
mod reader;
pub mod signature;
mod writer;

pub use arch::{Arch, UnknownArch};
pub use data_type::DataType;
pub use descriptor::{DESCRIPTOR_SIZE, GROUP_MASK, Link, NAME_SIZE, SifDescriptor};
pub use editor::SifEditor;
pub use error::SifError;
pub use extra::{
    CryptoFormat, CryptoMessage, CryptoMessageType, EXTRA_SIZE, FileSystem, HashType, OciDigest,
    Partition, PartitionKind, SbomFormat, SignatureInfo,
};
pub use header::{APPTAINER_LAUNCH_SCRIPT, HEADER_SIZE, Header, LaunchScript, MAGIC, VERSION};
pub use image_id::ImageId;
pub use object::{Group, NewObject, PARTITION_ALIGNMENT};
pub use oddity::Oddity;
pub use reader::{MAX_DESCRIPTORS, ObjectReader, SifReader};
pub use writer::{DEFAULT_CAPACITY, DESCRIPTORS_OFFSET, ObjectWriter, SifOptions, SifWriter};
