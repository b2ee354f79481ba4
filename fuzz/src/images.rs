//! OCI images, SIF files and what is in them.

use std::io::{Cursor, Read};

use oci_format::layer::compression::Decoder;
use oci_format::layer::merge::LayerMerge;
use oci_format::layer::tar::{Limits, Policy, TarReader};
use oci_format::layer::whiteout::Whiteout;
use oci_format::{ImageConfig, ImageIndex, Manifest, Reference, layout};
use sif_format::deffile::{BuildArguments, Deffile};
use sif_format::sif::SifReader;
use sif_format::sif::signature::{Signature, SignedText, read_signature, signatures};
use sif_format::squashfs::read_everything;

use crate::{Target, text};

/// More bytes than this tell nothing new.
const MOST: u64 = 4 << 20;

pub(crate) const TARGETS: &[Target] = &[
    ("manifest", |data| drop(Manifest::parse(data))),
    ("image-index", |data| drop(ImageIndex::parse(data))),
    ("image-config", |data| drop(ImageConfig::parse(data))),
    ("layout", |data| {
        drop(layout::find_reference(data, Some("x")));
        drop(layout::find_reference(data, None));
    }),
    ("reference", |data| {
        text(data, |text| {
            if let Ok(reference) = text.parse::<Reference>() {
                assert_eq!(
                    reference.to_string().parse::<Reference>().ok(),
                    Some(reference)
                );
            }
        });
    }),
    ("whiteout", |data| drop(Whiteout::of(data))),
    ("tar", |data| {
        tar(data, Policy::Strict);
        tar(data, Policy::Lenient);
    }),
    ("compressed", |data| {
        if let Ok(decoder) = Decoder::new(data, MOST) {
            drop(std::io::copy(&mut decoder.take(MOST), &mut std::io::sink()));
        }
    }),
    ("layers", layers),
    ("deffile", deffile),
    ("sif", sif),
    ("squashfs", |data| drop(read_everything(data, MOST))),
];

fn tar(data: &[u8], policy: Policy) {
    let mut tar = TarReader::with_policy(data, policy, Limits::default());
    while let Ok(Some(mut member)) = tar.next_member() {
        // Files with holes may claim any size.
        drop(std::io::copy(
            &mut (&mut member).take(MOST),
            &mut std::io::sink(),
        ));
    }
}

/// Two layers, cut apart by the first byte.
fn layers(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else {
        return;
    };
    let (lower, upper) = data.split_at((usize::from(*cut) * 512).min(data.len()));
    let mut merge = LayerMerge::new();
    for layer in [lower, upper] {
        let mut tar = TarReader::with_policy(layer, Policy::Lenient, Limits::default());
        if merge.apply_layer(&mut tar).is_err() {
            return;
        }
    }
    let tree = merge.finish();
    for node in tree.nodes() {
        assert_eq!(
            tree.get(&node.path()).map(|found| found.id()),
            Some(node.id()),
            "every node is found by its path"
        );
    }
}

fn deffile(data: &[u8]) {
    text(data, |text| {
        let resolution = Deffile::parse(text).resolve(&BuildArguments::new());
        for fault in &resolution.faults {
            assert!(
                text.get(fault.span.range()).is_some(),
                "a fault lies in its text"
            );
        }
    });
}

fn sif(data: &[u8]) {
    let Ok(mut sif) = SifReader::open(Cursor::new(data)) else {
        return;
    };
    let ids: Vec<u32> = sif.descriptors().map(|object| object.id).collect();
    for id in ids {
        drop(sif.read_object(id, MOST));
    }
    for signature in signatures(&sif) {
        if let Ok(Signature::ClearSigned(text)) = read_signature(&mut sif, signature.id) {
            drop(SignedText::parse(text.as_bytes()));
        }
    }
}
