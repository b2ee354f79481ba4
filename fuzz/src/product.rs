//! What people write for us, and what we write for ourselves.

use std::path::Path;
use std::time::SystemTime;

use spack_format::yaml::SourceId;
use spacktainers::epilogue::Epilogue;
use spacktainers::layer::strip::{Outcome, Symbols, strip};
use spacktainers::mirror::Location;
use spacktainers::openpgp::{self, PublicKeys};
use spacktainers::project::Settings;
use spacktainers::publish::Target as PublishTarget;
use spacktainers::source::ImageSource;

use crate::{Target, text};

pub(crate) const TARGETS: &[Target] = &[
    ("settings", |data| {
        text(data, |text| {
            let (_, faults) = Settings::parse(text, SourceId(0), Path::new("/project"));
            for place in faults.iter().filter_map(|fault| fault.place) {
                assert!(place.range().end <= text.len(), "a fault lies in its text");
            }
        });
    }),
    ("epilogue", |data| {
        text(data, |text| {
            if let Err(faults) = Epilogue::parse(text) {
                for fault in faults {
                    assert!(text.get(fault.place).is_some(), "a fault lies in its text");
                }
            }
        });
    }),
    ("lock", |data| {
        text(data, |text| {
            if let Ok(lock) = spacktainers::lock::parse(text) {
                let printed =
                    spacktainers::lock::print(&lock).expect("what was read can be written");
                assert_eq!(spacktainers::lock::parse(&printed).ok(), Some(lock));
            }
        });
    }),
    ("keys", |data| drop(PublicKeys::parse(data))),
    ("signed", |data| {
        text(data, |text| {
            drop(openpgp::verify(
                text,
                &PublicKeys::default(),
                SystemTime::UNIX_EPOCH,
            ))
        })
    }),
    ("target", |data| {
        text(data, |text| {
            if let Ok(target) = text.parse::<PublishTarget>() {
                assert_eq!(
                    target.to_string().parse::<PublishTarget>().ok(),
                    Some(target)
                );
            }
        });
    }),
    ("source", |data| {
        text(data, |text| drop(ImageSource::parse(text)))
    }),
    ("symbols", |data| {
        for symbols in [Symbols::Drop, Symbols::Separate] {
            if let Outcome::Stripped { bytes, .. } = strip(data, symbols, b"opt/a") {
                assert!(bytes.len() < data.len(), "less than before");
            }
        }
    }),
    ("mirror", |data| {
        text(data, |text| {
            drop(Location::parse(text, None, Path::new("/project")))
        })
    }),
];
