//! Specs read, printed and compared, after what real Spack 1.1.0 does with them.

use proptest::prelude::*;

use super::*;

fn spec(text: &str) -> Spec {
    Spec::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault} at {:?}", fault.range))
}

#[test]
fn canonical_texts_are_spacks() {
    for (text, expected) in [
        ("zlib", "zlib"),
        ("zlib @ 1.2", "zlib@1.2"),
        ("builtin.zlib@1", "zlib@1"),
        ("hdf5~shared+mpi", "hdf5+mpi~shared"),
        ("hdf5 libs=static,shared", "hdf5 libs=shared,static"),
        ("z@1:1.2,1.4", "z@1:1.2,1.4"),
        ("z ^[virtuals=mpi] mpich", "z ^mpi=mpich"),
        (
            "z arch=linux-debian12-x86_64",
            "z platform=linux os=debian12 target=x86_64",
        ),
        (
            "z target=x86_64_v3 os=debian12",
            "z os=debian12 target=x86_64_v3",
        ),
        ("z arch=linux-None-x86_64", "z platform=linux target=x86_64"),
        ("z arch=linux--", "z platform=linux"),
        ("z cflags='-O3 -g'", "z cflags='-O3 -g'"),
        // Flags that come as a whole stay as they are, and of others each counts once.
        ("z ^y ^y cflags='-g -g'", "z ^y cflags='-g -g'"),
        ("z ^y cflags=-g ^y cflags='-g -O2'", "z ^y cflags='-g -O2'"),
        // Of attributes of an edge that are given twice the last counts, whatever the first was.
        (
            "z %[deptypes=foo deptypes=link when='@1.' when=+a] y",
            "z %[when='+a' deptypes=link] y",
        ),
    ] {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        assert_eq!(
            canonical(expected).as_deref(),
            Ok(expected),
            "{expected} is stable"
        );
    }
}

#[test]
fn what_satisfies_what() {
    let virtuals = Virtuals::default();
    for (left, right, expected) in [
        ("z@1.2.9", "z@1.2", true),
        ("z@1.2", "z@=1.2", false),
        ("z@=1.2rc1", "z@1.2", false),
        ("z@=1.2rc1", "z@:1.1", true),
        ("z@=develop", "z@1:", true),
        ("z@=develop", "z@:9", false),
        ("z v=x,y", "z v=x", true),
        ("z v=x", "z v:=x", false),
        ("z v:=x,y", "z v=x", true),
        ("z+a", "z", true),
        ("z", "z+a", false),
        ("z target=haswell", "z target=x86_64_v3:", true),
        ("z target=haswell", "z target=x86_64_v3", false),
        ("z target=zen4", "z target=:x86_64_v4", false),
        ("z cflags=-O3", "z", true),
        ("z %gcc@12", "z %gcc", true),
        ("z", "y", false),
        ("z@1", "@1", true),
        // Upper case: no commit, but a version.
        ("z@ABCDEF0123456789ABCDEF0123456789ABCDEF01", "z@:1", true),
    ] {
        assert_eq!(
            spec(left).satisfies(&spec(right), &virtuals),
            expected,
            "`{left}` and `{right}`"
        );
    }
}

#[test]
fn a_percent_belongs_to_the_node_before_it() {
    let both = spec("a %gcc ^b %clang");
    assert_eq!(both.dependencies.iter().filter(|it| it.direct).count(), 1);
    let variant_of_gcc = spec("a %gcc +x");
    assert!(variant_of_gcc.variants.is_empty(), "since 1.0 it is gcc's");
}

#[test]
fn faults_are_placed() {
    for (text, place, words) in [
        ("zlib@", 4..5, "means nothing"),
        ("zlib zlib", 5..9, "second"),
        ("zlib@1@2", 6..8, "two constraints"),
        ("zlib@1:a..", 8..10, "means nothing"),
        ("zlib+pic+pic", 8..12, "twice"),
        ("", 0..0, "none"),
        ("zlib %[foo=1] gcc", 7..12, "brackets"),
    ] {
        let fault = Spec::parse(text).expect_err(text);
        assert!(fault.to_string().contains(words), "{text}: {fault}");
        assert!(fault.range.start <= fault.range.end && fault.range.end <= text.len());
        assert_eq!(fault.range.start, place.start, "{text}: {:?}", fault.range);
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_read_is_read_again(text in "[a-z0-9@:.,+~^%=/\\[\\]\"' _*-]{0,40}") {
        if let Ok(spec) = Spec::parse(&text) {
            let printed = spec.to_string();
            if printed.trim().is_empty() {
                // `*` asks for nothing.
                return Ok(());
            }
            let again = Spec::parse(&printed);
            prop_assert!(again.is_ok(), "`{}` gives `{}`: {:?}", text, printed, again.err());
        }
    }
}
