//! Stacks of layers, and what must come of them. Each is also given to umoci.

/// A stack and its tree, both in the notation. Trees begin below the root.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) layers: &'static [&'static str],
    pub(crate) tree: &'static [&'static str],
}

const fn case(
    name: &'static str,
    layers: &'static [&'static str],
    tree: &'static [&'static str],
) -> Case {
    Case { name, layers, tree }
}

/// All of them. The first line of a tree is the root.
pub(crate) const CASES: &[Case] = &[
    case("no layers", &[], &["/ 755 0:0 @0"]),
    case("nothing in a layer", &[""], &["/ 755 0:0 @0"]),
    case("a member for the root", &["d . 711 5:6"], &["/ 711 5:6 @1"]),
    case(
        "implied directories have no time and the usual mode",
        &["f a/b/file"],
        &[
            "/ 755 0:0 @0",
            "a/ 755 0:0 @0",
            "a/b/ 755 0:0 @0",
            "a/b/file 0.0 640",
        ],
    ),
    case(
        "implied directories inherit the group and bit of a setgid parent",
        &["d a 2750 1:7\n f a/b/c/file"],
        &[
            "/ 755 0:0 @0",
            "a/ 2750 1:7 @1",
            "a/b/ 2755 0:7 @0",
            "a/b/c/ 2755 0:7 @0",
            "a/b/c/file 0.1 640",
        ],
    ),
    case(
        "a directory over a directory replaces metadata and keeps content",
        &["d a 700 1:1\n f a/file", "d a 755 2:2"],
        &["/ 755 0:0 @0", "a/ 755 2:2 @101", "a/file 0.1 640"],
    ),
    case(
        "a directory described after its content",
        &["f a/file\n d a 711"],
        &["/ 755 0:0 @0", "a/ 711 0:0 @2", "a/file 0.0 640"],
    ),
    case(
        "a file over a directory takes all of it",
        &["d a\n d a/b\n f a/b/c", "f a"],
        &["/ 755 0:0 @0", "a 1.0 640"],
    ),
    case(
        "a directory over a file",
        &["f a", "d a 700\n f a/b"],
        &["/ 755 0:0 @0", "a/ 700 0:0 @101", "a/b 1.1 640"],
    ),
    case(
        "a directory, a file and a directory again has nothing of the first",
        &["d a\n f a/old", "f a", "d a\n f a/new"],
        &["/ 755 0:0 @0", "a/ 750 0:0 @201", "a/new 2.1 640"],
    ),
    case(
        "the last of repeated members wins",
        &["f a 600\n f a 644\n s l x\n s l y"],
        &["/ 755 0:0 @0", "a 0.1 644", "l -> y"],
    ),
    case(
        "a whiteout removes a file, a link and a tree of lower layers",
        &[
            "f a\n s l a\n d d\n f d/e/f\n f keep",
            "f .wh.a\n f .wh.l\n f .wh.d\n f .wh.nothing\n f no/.wh.where",
        ],
        &["/ 755 0:0 @0", "keep 0.4 640"],
    ),
    case(
        "a whiteout does not remove what its own layer has",
        &["f a\n f b", "f a\n f .wh.a\n f .wh.b\n f b"],
        &["/ 755 0:0 @0", "a 1.0 640", "b 1.3 640"],
    ),
    case(
        "a whiteout after a new file spares the directory and its metadata",
        &["d d 700 3:3\n f d/old\n f d/sub/old", "f d/new\n f .wh.d"],
        &["/ 755 0:0 @0", "d/ 700 3:3 @1", "d/new 1.0 640"],
    ),
    case(
        "a whiteout before a new file makes the directory anew",
        &["d d 700 3:3\n f d/old", "f .wh.d\n f d/new"],
        &["/ 755 0:0 @0", "d/ 755 0:0 @0", "d/new 1.1 640"],
    ),
    case(
        "a whiteout of what an upper layer brings back",
        &["f d/a", "f .wh.d", "f d/b"],
        &["/ 755 0:0 @0", "d/ 755 0:0 @0", "d/b 2.0 640"],
    ),
    case(
        "an opaque directory hides lower layers, before its siblings or after",
        &[
            "d d\n f d/old\n d d/sub\n f d/sub/old\n d e\n f e/old",
            "d d 711\n f d/.wh..wh..opq\n f d/new\n f e/new\n d e/sub\n f e/.wh..wh..opq",
        ],
        &[
            "/ 755 0:0 @0",
            "d/ 711 0:0 @101",
            "d/new 1.2 640",
            "e/ 750 0:0 @5",
            "e/new 1.3 640",
            "e/sub/ 750 0:0 @105",
        ],
    ),
    case(
        "an opaque directory is opaque in the directories that its layer touches",
        &[
            "d d\n d d/s 700 4:4\n f d/s/old\n f d/s/t/old",
            "f d/s/t/new\n f d/.wh..wh..opq",
        ],
        &[
            "/ 755 0:0 @0",
            "d/ 750 0:0 @1",
            "d/s/ 700 4:4 @2",
            "d/s/t/ 755 0:0 @0",
            "d/s/t/new 1.0 640",
        ],
    ),
    case(
        "the root can be opaque",
        &["f a\n f d/b", "f c\n f .wh..wh..opq\n f d/e"],
        &["/ 755 0:0 @0", "c 1.0 640", "d/ 755 0:0 @0", "d/e 1.2 640"],
    ),
    case(
        "opaque twice, with new files between",
        &[
            "f d/old",
            "f d/.wh..wh..opq\n f d/new\n f d/.wh..wh..opq",
            "f d/.wh..wh..opq",
        ],
        &["/ 755 0:0 @0", "d/ 755 0:0 @0"],
    ),
    case(
        "opaque and missing, and opaque and no directory",
        &["f a", "f b/.wh..wh..opq\n f a/.wh..wh..opq\n f a/.wh.x"],
        &["/ 755 0:0 @0", "a 0.0 640"],
    ),
    case(
        "the bookkeeping of AUFS is not unpacked and hides nothing",
        &["f .wh..wh.aufs\n d .wh..wh.plnk\n f plnk"],
        &["/ 755 0:0 @0", "plnk 0.2 640"],
    ),
    case(
        "only the beginning of a name makes a whiteout",
        &["f a.wh.b\n f .whx\n f b", "f .wh.a\n f .WH.b"],
        &[
            "/ 755 0:0 @0",
            ".WH.b 1.1 640",
            ".whx 0.1 640",
            "a.wh.b 0.0 640",
            "b 0.2 640",
        ],
    ),
    case(
        "parents that are links are followed",
        &[
            "d usr/lib 700\n s lib usr/lib\n s abs /usr",
            "f lib/a\n f abs/lib/b\n f abs/c",
        ],
        &[
            "/ 755 0:0 @0",
            "abs -> /usr",
            "lib -> usr/lib",
            "usr/ 755 0:0 @0",
            "usr/c 1.2 640",
            "usr/lib/ 700 0:0 @1",
            "usr/lib/a 1.0 640",
            "usr/lib/b 1.1 640",
        ],
    ),
    case(
        "links cannot lead out of the root",
        &["s out ../../../../etc\n s d/up ../..\n f out/a\n f d/up/b"],
        &[
            "/ 755 0:0 @0",
            "b 0.3 640",
            "d/ 755 0:0 @0",
            "d/up -> ../..",
            "etc/ 755 0:0 @0",
            "etc/a 0.2 640",
            "out -> ../../../../etc",
        ],
    ),
    case(
        "a parent that is a link to nothing makes what it names",
        &["s l x/y/../z\n f l/a"],
        &[
            "/ 755 0:0 @0",
            "l -> x/y/../z",
            "x/ 755 0:0 @0",
            "x/z/ 755 0:0 @0",
            "x/z/a 0.1 640",
        ],
    ),
    case(
        "a link to a link to a link",
        &["d d\n s a b\n s b ./c/.\n s c /d/\n f a/file"],
        &[
            "/ 755 0:0 @0",
            "a -> b",
            "b -> ./c/.",
            "c -> /d/",
            "d/ 750 0:0 @1",
            "d/file 0.4 640",
        ],
    ),
    case(
        "a link in place of a directory, and a directory in place of a link",
        &["d a\n f a/x\n d t\n s b t", "s a t\n d b\n f b/y\n f a/z"],
        &[
            "/ 755 0:0 @0",
            "a -> t",
            "b/ 750 0:0 @102",
            "b/y 1.2 640",
            "t/ 750 0:0 @3",
            "t/z 1.3 640",
        ],
    ),
    case(
        "whiteouts follow parents that are links, and remove links themselves",
        &[
            "d d\n f d/x\n f d/y\n s l d\n s m d",
            "f l/.wh.x\n f .wh.m",
            "f l/.wh..wh..opq",
        ],
        &["/ 755 0:0 @0", "d/ 750 0:0 @1", "l -> d"],
    ),
    case(
        "the directory that was written to last is reached by another way afterwards",
        &["d x\n d y\n s l x\n f l/1\n s l y\n f l/2\n d l\n f l/3"],
        &[
            "/ 755 0:0 @0",
            "l/ 750 0:0 @7",
            "l/3 0.7 640",
            "x/ 750 0:0 @1",
            "x/1 0.3 640",
            "y/ 750 0:0 @2",
            "y/2 0.5 640",
        ],
    ),
    case(
        "hard links to files of lower layers",
        &["f a", "h b a", "h d/c b"],
        &[
            "/ 755 0:0 @0",
            "a 0.0 640 x3",
            "b 0.0 640 x3",
            "d/ 755 0:0 @0",
            "d/c 0.0 640 x3",
        ],
    ),
    case(
        "content outlives the name it came with",
        &["f a\n h b a\n f c\n h d c", "f .wh.a\n f c 600"],
        &["/ 755 0:0 @0", "b 0.0 640", "c 1.1 600", "d 0.2 640"],
    ),
    case(
        "a hard link over an old file, and to a target in the directory it leaves alone",
        &["f d/a\n f b", "h b d/a", "f .wh.d"],
        &["/ 755 0:0 @0", "b 0.0 640"],
    ),
    case(
        "hard links to a symbolic link, a pipe and a device",
        &["s l t\n h m l\n p p\n h q p\n c n 1 3\n h o n"],
        &[
            "/ 755 0:0 @0",
            "l -> t x2",
            "m -> t x2",
            "n c 1:3 x2",
            "o c 1:3 x2",
            "p p x2",
            "q p x2",
        ],
    ),
    case(
        "a hard link whose target is reached through a link",
        &["f d/a\n s l d\n h b l/a\n s r /\n h r/c r/l/a"],
        &[
            "/ 755 0:0 @0",
            "b 0.0 640 x3",
            "c 0.0 640 x3",
            "d/ 755 0:0 @0",
            "d/a 0.0 640 x3",
            "l -> d",
            "r -> /",
        ],
    ),
    case(
        "devices and pipes come and go",
        &[
            "c null 1 3\n p pipe\n c gone 5 1",
            "f pipe\n f .wh.gone\n c new 4 255",
        ],
        &["/ 755 0:0 @0", "new c 4:255", "null c 1:3", "pipe 1.0 640"],
    ),
    case(
        "setuid, setgid and sticky are kept",
        &["f su 6755\n d tmp 1777"],
        &["/ 755 0:0 @0", "su 0.0 6755", "tmp/ 1777 0:0 @2"],
    ),
    case(
        "sorted by component: a directory's content comes before its longer sisters",
        &["f a-b\n f a/c\n f a.d\n f a/b/c\n f a/b-\n f é\n f B"],
        &[
            "/ 755 0:0 @0",
            "B 0.6 640",
            "a/ 755 0:0 @0",
            "a/b/ 755 0:0 @0",
            "a/b/c 0.3 640",
            "a/b- 0.4 640",
            "a/c 0.1 640",
            "a-b 0.0 640",
            "a.d 0.2 640",
            "é 0.5 640",
        ],
    ),
];

/// Stacks that put something below what is no directory. Versions of umoci before 0.5 refuse them,
/// later ones give the new directory the metadata of the file.
pub(crate) const CASES_BELOW_FILES: &[Case] = &[
    case(
        "a file gives way to a directory that a member needs",
        &["f a 600", "f a/b"],
        &["/ 755 0:0 @0", "a/ 755 0:0 @0", "a/b 1.0 640"],
    ),
    case(
        "also when it is further up",
        &["f a\n f keep", "f a/b/c/d"],
        &[
            "/ 755 0:0 @0",
            "a/ 755 0:0 @0",
            "a/b/ 755 0:0 @0",
            "a/b/c/ 755 0:0 @0",
            "a/b/c/d 1.0 640",
            "keep 0.1 640",
        ],
    ),
    case(
        "and when a link leads to it",
        &["f a\n s l a\n h b a", "f l/x"],
        &[
            "/ 755 0:0 @0",
            "a/ 755 0:0 @0",
            "a/x 1.0 640",
            "b 0.0 640",
            "l -> a",
        ],
    ),
];
