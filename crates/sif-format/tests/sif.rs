//! SIF files: what is written can be read, what is damaged is refused, and changes keep the rest as it was.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use sif_format::sif::signature::{
    self, ObjectVerdict, Selection, Signature, SignedText, SignedTextError, text_to_sign, verify,
};
use sif_format::sif::{
    Arch, DataType, FileSystem, Group, HEADER_SIZE, ImageId, Link, NewObject, Oddity, Partition,
    PartitionKind, SifEditor, SifError, SifOptions, SifReader, SifWriter,
};

const TIME: i64 = 1_700_000_000;
const SLOT: usize = 585;

fn primary() -> NewObject {
    NewObject::partition(Partition {
        file_system: FileSystem::Squashfs,
        kind: PartitionKind::PrimarySystem,
        arch: Arch::AMD64,
    })
}

/// Definition file, JSON object and a partition of 5000 bytes that is not one.
fn small_sif() -> Vec<u8> {
    let options = SifOptions::new(ImageId::derived_from(b"sha256:test"), TIME);
    let mut writer = SifWriter::create(Cursor::new(Vec::new()), options).unwrap();
    writer
        .append(
            NewObject::definition_file(),
            &b"bootstrap: docker\nfrom: x\n"[..],
        )
        .unwrap();
    writer
        .append(NewObject::json("oci-config.json").unwrap(), &b"{}"[..])
        .unwrap();
    let mut partition = writer.begin(primary()).unwrap();
    partition.write_all(&[0; 4]).unwrap();
    partition.write_all(&[7; 4996]).unwrap();
    partition.seek(SeekFrom::Start(0)).unwrap();
    partition.write_all(b"hsqs").unwrap();
    partition.finish().unwrap();
    writer.finish().unwrap().0.into_inner()
}

fn open(bytes: &[u8]) -> Result<SifReader<Cursor<Vec<u8>>>, SifError> {
    SifReader::open(Cursor::new(bytes.to_vec()))
}

/// The file with some bytes overwritten.
fn changed(at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = small_sif();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

/// Where a field of the slot's descriptor is.
fn field(slot: usize, offset: usize) -> usize {
    4096 + SLOT * slot + offset
}

#[test]
fn what_is_written_is_read_again() {
    let bytes = small_sif();
    assert_eq!(bytes, small_sif(), "same input, same bytes");
    let mut reader = open(&bytes).unwrap();
    assert_eq!(reader.oddities(), []);
    let header = reader.header().clone();
    assert_eq!(
        header.launch_script.text(),
        "#!/usr/bin/env run-singularity\n"
    );
    assert_eq!(
        (header.arch, header.created, header.modified),
        (Arch::AMD64, TIME, TIME)
    );
    assert_eq!(
        (header.descriptors_total, header.descriptors_free),
        (48, 45)
    );
    assert_eq!(header.data_offset, 32176);
    assert_eq!(header.data_offset + header.data_size, bytes.len() as u64);

    let partition = reader.primary_partition().unwrap().clone();
    assert_eq!(
        (partition.id, partition.offset, partition.size),
        (3, 32768, 5000)
    );
    assert_eq!(partition.size_with_padding, 32768 - 32204 + 5000);
    assert_eq!((partition.group(), partition.link()), (Some(1), Link::None));
    let content = reader.read_object(3, 5000).unwrap();
    assert_eq!(
        (&content[..4], &content[4..]),
        (&b"hsqs"[..], &[7; 4996][..])
    );
    assert!(matches!(
        reader.read_object(3, 4999),
        Err(SifError::TooLarge {
            id: 3,
            size: 5000,
            limit: 4999
        })
    ));
    assert_eq!(reader.json_named("oci-config.json").unwrap().id, 2);
    assert_eq!(reader.first_of(DataType::DefinitionFile).unwrap().id, 1);
    assert!(matches!(
        reader.descriptor(4),
        Err(SifError::NoSuchObject(4))
    ));
}

#[test]
fn the_bytes_of_a_small_file_stay_as_they_are() {
    let bytes = small_sif();
    let mut text = String::new();
    for (index, line) in bytes.chunks(32).enumerate() {
        if line.iter().any(|byte| *byte != 0) && index * 32 < 32768 + 32 {
            let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("{:06x} {digits}\n", index * 32);
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_object_is_a_window_of_the_file() {
    let mut reader = open(&small_sif()).unwrap();
    let mut object = reader.object(1).unwrap();
    object.seek(SeekFrom::Start(11)).unwrap();
    let mut word = [0; 6];
    object.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"docker");
    assert_eq!(object.seek(SeekFrom::End(-2)).unwrap(), object.size() - 2);
    let mut rest = Vec::new();
    object.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"x\n");
    object.seek(SeekFrom::Start(1 << 40)).unwrap();
    assert_eq!(object.read(&mut word).unwrap(), 0);
    assert!(object.seek(SeekFrom::Current(i64::MIN)).is_err());
    assert!(object.seek(SeekFrom::Start(u64::MAX)).is_err());
}

#[test]
fn a_writer_refuses_what_a_file_cannot_hold() {
    let options = SifOptions {
        capacity: 1,
        ..SifOptions::new(ImageId::NIL, 0)
    };
    let mut writer = SifWriter::create(Cursor::new(Vec::new()), options.clone()).unwrap();
    writer.append(primary(), &b""[..]).unwrap();
    assert!(matches!(
        writer.append(NewObject::generic(), &b""[..]),
        Err(SifError::Full(1))
    ));

    let two = SifOptions {
        capacity: 2,
        ..options.clone()
    };
    let mut writer = SifWriter::create(Cursor::new(Vec::new()), two).unwrap();
    writer.append(primary(), &b""[..]).unwrap();
    assert!(matches!(
        writer.append(primary(), &b""[..]),
        Err(SifError::SecondPrimary(1))
    ));
    let reserved = NewObject::generic().in_group(Group::Number(0xf000_0001));
    assert!(matches!(
        writer.append(reserved, &b""[..]),
        Err(SifError::Group(_))
    ));

    let none = SifOptions {
        capacity: 0,
        ..options
    };
    assert!(SifWriter::create(Cursor::new(Vec::new()), none).is_err());
    assert!(NewObject::json(&"n".repeat(129)).is_err());
    assert!(sif_format::sif::LaunchScript::new(&"x".repeat(32)).is_err());
}

#[test]
fn a_file_with_an_unfinished_object_is_never_finished() {
    let options = SifOptions::new(ImageId::NIL, 0);
    let mut writer = SifWriter::create(Cursor::new(Vec::new()), options).unwrap();
    let mut object = writer.begin(NewObject::generic()).unwrap();
    object.write_all(b"half").unwrap();
    assert!(
        object.seek(SeekFrom::Start(5)).is_err(),
        "gaps are not written"
    );
    assert!(matches!(writer.finish(), Err(SifError::Unfinished)));
}

#[test]
fn damaged_headers_are_refused() {
    let length = small_sif().len() as i64;
    for (at, value) in [
        (88, -1),        // total
        (88, 1 << 40),   // total
        (88, 49),        // total, with a table of 48
        (96, -1),        // table offset
        (96, length),    // table offset
        (96, i64::MAX),  // table offset
        (104, 28079),    // table size
        (104, i64::MAX), // table size
        (112, i64::MIN), // data offset
        (120, -5),       // data size
        (80, -1),        // free
    ] {
        let bytes = changed(at, &value.to_le_bytes());
        assert!(open(&bytes).is_err(), "{value} at {at}");
    }
    assert!(matches!(
        open(&changed(32, b"SIF_MAGIK")),
        Err(SifError::NotSif(_))
    ));
    assert!(
        matches!(open(&changed(42, b"02")), Err(SifError::Version(version)) if version == "02")
    );
    assert!(matches!(
        open(&small_sif()[..HEADER_SIZE - 1]),
        Err(SifError::NotSif(_))
    ));
    assert!(open(&small_sif()[..32175]).is_err(), "cut in the table");
}

#[test]
fn damaged_descriptors_are_refused() {
    for (offset, value) in [
        (17, -1),
        (17, i64::MAX),
        (17, 32769),
        (25, -1),
        (25, 5001),
        (25, i64::MAX),
        (33, -1),
    ] {
        let bytes = changed(field(2, offset), &value.to_le_bytes());
        assert!(
            matches!(open(&bytes), Err(SifError::OutOfBounds { id: 3, .. })),
            "{value} at {offset}"
        );
    }
    let twice = changed(field(1, 5), &1_u32.to_le_bytes());
    assert!(matches!(open(&twice), Err(SifError::DuplicateId(1))));
}

#[test]
fn odd_files_are_read_and_what_is_odd_is_named() {
    let oddities = |bytes: Vec<u8>| open(&bytes).unwrap().oddities().to_vec();
    let overlap = changed(field(1, 17), &32176_i64.to_le_bytes());
    assert_eq!(
        oddities(overlap.clone()),
        [Oddity::Overlap {
            first: 1,
            second: 2
        }]
    );
    assert!(matches!(
        SifEditor::open(Cursor::new(overlap)),
        Err(SifError::Damaged(_))
    ));
    let in_table = changed(field(1, 17), &5000_i64.to_le_bytes());
    assert_eq!(oddities(in_table), [Oddity::OverlapsTable(2)]);
    let other_id = changed(field(1, 5), &9_u32.to_le_bytes());
    assert_eq!(oddities(other_id), [Oddity::IdIsNotSlot { id: 9, slot: 2 }]);
    let dangling = changed(field(1, 13), &40_u32.to_le_bytes());
    assert_eq!(
        oddities(dangling),
        [Oddity::DanglingLink {
            id: 2,
            link: Link::Object(40)
        }]
    );
    let no_mark = changed(field(1, 9), &1_u32.to_le_bytes());
    assert_eq!(oddities(no_mark), [Oddity::GroupWithoutMark(2)]);
    let free = changed(80, &7_i64.to_le_bytes());
    assert_eq!(
        oddities(free),
        [Oddity::FreeCount {
            announced: 7,
            found: 45
        }]
    );
    let arch = changed(45, b"04");
    assert_eq!(
        oddities(arch),
        [Oddity::ArchDiffers {
            header: Arch::ARM64,
            partition: Arch::AMD64
        }]
    );
    let data = changed(120, &100_i64.to_le_bytes());
    assert_eq!(oddities(data), [Oddity::OutsideData(3)]);
    for oddity in [
        Oddity::SecondPrimary(4),
        Oddity::Unaligned(3),
        Oddity::TableOverlapsHeader,
    ] {
        assert!(!oddity.to_string().is_empty());
    }
}

#[test]
fn no_byte_of_header_and_table_makes_the_reader_panic() {
    let bytes = small_sif();
    for at in (0..HEADER_SIZE).chain(4096..4096 + 4 * SLOT) {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            let Ok(mut reader) = open(&bytes) else {
                continue;
            };
            let ids: Vec<u32> = reader.descriptors().map(|object| object.id).collect();
            for id in ids {
                let size = reader.descriptor(id).unwrap().size;
                assert_eq!(reader.read_object(id, size).unwrap().len() as u64, size);
            }
            let _ = text_to_sign(&mut reader, Selection::Group(1));
        }
    }
}

#[test]
fn an_object_is_appended_behind_the_others_and_deleted_again() {
    let before = small_sif();
    let mut editor = SifEditor::open(Cursor::new(before.clone())).unwrap();
    let id = editor
        .append(
            NewObject::generic().named("notes").unwrap(),
            &b"hello"[..],
            TIME + 5,
        )
        .unwrap();
    assert_eq!(id, 4);
    let reader = editor.reader();
    assert_eq!(reader.oddities(), []);
    assert_eq!(
        (reader.header().modified, reader.header().descriptors_free),
        (TIME + 5, 44)
    );
    assert_eq!(reader.read_object(4, 100).unwrap(), b"hello");
    assert_eq!(reader.descriptor(4).unwrap().name(), "notes");
    assert!(matches!(
        editor.append(primary(), &b""[..], 0),
        Err(SifError::SecondPrimary(3))
    ));

    let length = editor.delete(4, true, TIME).unwrap();
    let mut after = editor.into_inner().into_inner();
    assert_eq!(length, before.len() as u64);
    assert_eq!(&after[before.len()..], [0; 5], "wiped");
    after.truncate(before.len());
    assert_eq!(after, before);
}

#[test]
fn a_deleted_primary_partition_takes_the_architecture_with_it() {
    let mut editor = SifEditor::open(Cursor::new(small_sif())).unwrap();
    assert_eq!(editor.delete(3, false, TIME).unwrap(), 32204);
    assert_eq!(editor.reader().header().arch, Arch::UNKNOWN);
    assert_eq!(editor.append(primary(), &b"new"[..], TIME).unwrap(), 3);
    assert_eq!(editor.reader().header().arch, Arch::AMD64);
    assert_eq!(editor.reader().oddities(), []);
    assert!(matches!(
        editor.delete(9, false, 0),
        Err(SifError::NoSuchObject(9))
    ));
}

#[test]
fn a_full_table_takes_no_more() {
    let options = SifOptions {
        capacity: 1,
        ..SifOptions::new(ImageId::NIL, 0)
    };
    let mut writer = SifWriter::create(Cursor::new(Vec::new()), options).unwrap();
    writer.append(primary(), &b"x"[..]).unwrap();
    let (file, _) = writer.finish().unwrap();
    let mut editor = SifEditor::open(file).unwrap();
    assert!(matches!(
        editor.append(NewObject::generic(), &b""[..], 0),
        Err(SifError::Full(1))
    ));
}

/// The file, signed by nobody: the signature object holds the bare text in an envelope.
fn signed() -> (SifEditor<Cursor<Vec<u8>>>, SignedText) {
    let mut editor = SifEditor::open(Cursor::new(small_sif())).unwrap();
    let text = text_to_sign(editor.reader(), Selection::Group(1)).unwrap();
    let envelope = signature::Envelope {
        payload: text.to_json().into_bytes(),
        signatures: vec![signature::EnvelopeSignature {
            key_id: String::new(),
            signature: vec![1, 2, 3],
        }],
    };
    let object = signature::envelope_object(1);
    assert_eq!(
        editor
            .append(object, envelope.to_json().as_bytes(), TIME + 60)
            .unwrap(),
        4
    );
    (editor, text)
}

#[test]
fn a_signature_covers_its_group_and_adding_it_changes_nothing_that_is_signed() {
    let (mut editor, text) = signed();
    let reader = editor.reader();
    let found = signature::signatures(reader);
    assert_eq!(
        (found[0].id, found[0].group, found[0].info.fingerprint),
        (4, Some(1), None)
    );
    assert_eq!(reader.descriptor(4).unwrap().group(), None);
    let Signature::Envelope(envelope) = signature::read_signature(reader, 4).unwrap() else {
        panic!()
    };
    let read = SignedText::parse(&envelope.payload).unwrap();
    assert_eq!(read, text);
    assert!(verify(reader, 1, &read).unwrap().group_is_intact());
    assert!(signature::read_signature(reader, 1).is_err());
}

#[test]
fn a_signed_group_is_protected() {
    let (mut editor, _) = signed();
    let refused =
        |result: Result<(), SifError>| matches!(result, Err(SifError::InUse { by: 4, .. }));
    assert!(refused(
        editor.append(NewObject::generic(), &b""[..], 0).map(|_| ())
    ));
    assert!(refused(editor.delete(1, false, 0).map(|_| ())));
    let elsewhere = NewObject::generic().in_group(Group::Number(2));
    assert_eq!(editor.append(elsewhere, &b""[..], 0).unwrap(), 5);
    editor.delete(4, false, 0).unwrap();
    editor.delete(1, false, 0).unwrap();
}

#[test]
fn every_change_of_a_signed_file_is_found() {
    let (editor, text) = signed();
    let bytes = editor.into_inner().into_inner();
    let verdict = |at: usize, with: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        verify(&mut open(&bytes).unwrap(), 1, &text).unwrap()
    };
    let launch = verdict(0, b"#!/bin/evil");
    assert!(!launch.header_intact && !launch.group_is_intact() && !launch.object_is_intact(1));
    let name = verdict(field(1, 73), b"x");
    assert_eq!(name.objects[&2], ObjectVerdict::DescriptorDiffers);
    let content = verdict(32768 + 100, b"x");
    assert_eq!(content.objects[&3], ObjectVerdict::ContentDiffers);
    assert!(
        content.object_is_intact(1) && !content.object_is_intact(3) && !content.group_is_intact()
    );
    let gone = verdict(field(1, 9), &0xf000_0007_u32.to_le_bytes());
    assert_eq!(gone.objects[&2], ObjectVerdict::Missing);
    let new = verdict(field(3, 9), &0xf000_0001_u32.to_le_bytes());
    assert_eq!(new.objects[&4], ObjectVerdict::NotSigned);
    assert!(!new.group_is_intact());
    let touched = verdict(field(1, 49), &[0; 8]);
    assert!(
        touched.group_is_intact(),
        "the time of change is not signed"
    );
}

#[test]
fn some_objects_can_be_signed() {
    let mut reader = open(&small_sif()).unwrap();
    let some = Selection::Objects {
        group: 1,
        ids: &[3, 1, 3],
    };
    let text = text_to_sign(&mut reader, some).unwrap();
    assert_eq!(
        text.objects()
            .iter()
            .map(|it| it.relative_id)
            .collect::<Vec<_>>(),
        [0, 2]
    );
    let verdict = verify(&mut reader, 1, &text).unwrap();
    assert!(verdict.object_is_intact(3) && !verdict.group_is_intact());
    assert_eq!(verdict.objects[&2], ObjectVerdict::NotSigned);
    let nothing = Selection::Objects { group: 1, ids: &[] };
    assert!(text_to_sign(&mut reader, nothing).is_err());
    assert!(text_to_sign(&mut reader, Selection::Group(2)).is_err());
    let wrong = Selection::Objects {
        group: 1,
        ids: &[9],
    };
    assert!(matches!(
        text_to_sign(&mut reader, wrong),
        Err(SifError::NoSuchObject(9))
    ));
}

#[test]
fn texts_that_sif_signatures_are_not_made_over_are_refused() {
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let object = format!(
        "{{\"relativeId\":0,\"descriptorDigest\":\"{digest}\",\"objectDigest\":\"{digest}\"}}"
    );
    let text = |version: u32, objects: &str| {
        format!(
            "{{\"version\":{version},\"header\":{{\"digest\":\"{digest}\"}},\"objects\":{objects}}}"
        )
    };
    let parse = |text: String| SignedText::parse(text.as_bytes());
    let good = text(1, &format!("[{object}]"));
    assert_eq!(parse(good.clone()).unwrap().to_json(), good);
    assert!(parse(text(1, "null")).unwrap().objects().is_empty());
    assert!(matches!(
        parse(text(2, "[]")),
        Err(SignedTextError::Version(2))
    ));
    let twice = text(1, &format!("[{object},{object}]"));
    assert!(matches!(parse(twice), Err(SignedTextError::Twice(0))));
    assert!(matches!(
        SignedText::parse(b"SIFHASH:\nabcd"),
        Err(SignedTextError::Legacy)
    ));
    assert!(parse(good.replace("sha256:ba", "sha256:b")).is_err());
    let empty = parse(text(1, "[]")).unwrap();
    let verdict = verify(&mut open(&small_sif()).unwrap(), 1, &empty).unwrap();
    assert!(
        !verdict.group_is_intact(),
        "a signature over nothing vouches for nothing"
    );
}
