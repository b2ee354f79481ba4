//! Made-up indices whose hashes are those of their content.

use std::fmt::Write as _;
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use sha1::{Digest as _, Sha1};

use super::{KnownSpecs, import, table};
use crate::local_cache::LocalCache;

/// A node to make an index of.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    name: String,
    version: String,
    target: String,
    variants: String,
    external: Option<String>,
    edges: Vec<String>,
    has_binary: bool,
    forged: Option<String>,
}

impl Node {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            target: "x86_64_v3".to_owned(),
            variants: r#""build_system":"generic""#.to_owned(),
            external: None,
            edges: Vec::new(),
            has_binary: true,
            forged: None,
        }
    }

    pub(crate) fn flag(mut self, variant: &str, value: bool) -> Self {
        let _ = write!(self.variants, r#","{variant}":{value}"#);
        self
    }

    pub(crate) fn target(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    pub(crate) fn external(mut self, prefix: &str) -> Self {
        self.external = Some(prefix.to_owned());
        self.has_binary = false;
        self
    }

    pub(crate) fn without_binary(mut self) -> Self {
        self.has_binary = false;
        self
    }

    /// States this hash, whatever the content has.
    pub(crate) fn hash(mut self, hash: &str) -> Self {
        self.forged = Some(hash.to_owned());
        self
    }

    pub(crate) fn links(self, child: &Self, virtuals: &str) -> Self {
        self.edge(child, "link", virtuals)
    }

    pub(crate) fn builds_with(self, child: &Self) -> Self {
        self.edge(child, "build", "")
    }

    fn edge(mut self, child: &Self, deptype: &str, virtuals: &str) -> Self {
        let virtuals = if virtuals.is_empty() {
            String::new()
        } else {
            format!("\"{virtuals}\"")
        };
        self.edges.push(format!(
            r#"{{"name":"{}","hash":"{}","parameters":{{"deptypes":["{deptype}"],"virtuals":[{virtuals}]}}}}"#,
            child.name,
            child.dag_hash()
        ));
        self
    }

    /// The JSON without the hash and the closing brace.
    fn body(&self) -> String {
        let external = self.external.as_ref().map_or_else(String::new, |prefix| {
            format!(r#","external":{{"path":"{prefix}","module":null,"extra_attributes":{{}}}}"#)
        });
        let edges = if self.edges.is_empty() {
            String::new()
        } else {
            format!(r#","dependencies":[{}]"#, self.edges.join(","))
        };
        format!(
            r#"{{"name":"{}","version":"{}","arch":{{"platform":"linux","platform_os":"debian12","target":"{}"}},"namespace":"builtin","parameters":{{{},"cflags":[]}}{external}{edges},"annotations":{{"original_specfile_version":5}}"#,
            self.name, self.version, self.target, self.variants
        )
    }

    fn dag_hash(&self) -> String {
        let text = format!("{}}}", self.body());
        self.forged.clone().unwrap_or_else(|| {
            BASE32_NOPAD
                .encode(&Sha1::digest(text.as_bytes()))
                .to_ascii_lowercase()
        })
    }

    fn record(&self) -> String {
        let hash = self.dag_hash();
        format!(
            r#""{hash}":{{"spec":{},"hash":"{hash}"}},"ref_count":0,"in_buildcache":{}}}"#,
            self.body(),
            self.has_binary
        )
    }
}

/// The text of an index of layout 3.
pub(crate) fn index_text(nodes: &[Node]) -> String {
    let records: Vec<String> = nodes.iter().map(Node::record).collect();
    format!(
        r#"{{"database":{{"version":"8","installs":{{{}}}}}}}"#,
        records.join(",")
    )
}

/// What an index of this text holds; `home` is for the local cache.
pub(crate) fn known_from(text: &str, home: &Path) -> KnownSpecs {
    let cache = LocalCache::open(home).expect("a cache");
    let table = import::import(text.as_bytes(), &cache).expect("an index");
    let mut known = KnownSpecs::default();
    table::decode(&table, &cache, &mut known).expect("a table");
    known
}
