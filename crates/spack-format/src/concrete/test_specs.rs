//! A few made-up nodes for unit tests.

use super::{ConcreteSpec, ConcreteSpecs, NodeFormat, read_node};

/// `app` links `lib` (which provides `zapi`), runs `tool`, is compiled by the external `gcc`; all
/// link the external `libc`. Hashes are not those of the contents.
pub(crate) const LOCK: &str = r#"{
"_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
"roots": [{"hash": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "spec": "app"}],
"concrete_specs": {
"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": {"name":"app","version":"2.0","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64_v3"},"namespace":"builtin","parameters":{"api":["v1","v2"],"build_system":"cmake","shared":true,"cflags":["-O2"],"ldflags":[]},"dependencies":[{"name":"gcc","hash":"gggggggggggggggggggggggggggggggg","parameters":{"deptypes":["build"],"virtuals":["c"]}},{"name":"lib","hash":"llllllllllllllllllllllllllllllll","parameters":{"deptypes":["build","link"],"virtuals":["zapi"]}},{"name":"libc","hash":"cccccccccccccccccccccccccccccccc","parameters":{"deptypes":["link"],"virtuals":["libc"]}},{"name":"tool","hash":"tttttttttttttttttttttttttttttttt","parameters":{"deptypes":["run"],"virtuals":[]}}],"annotations":{"original_specfile_version":5},"hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
"llllllllllllllllllllllllllllllll": {"name":"lib","version":"1.5","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64_v3"},"namespace":"builtin","parameters":{"build_system":"generic"},"dependencies":[{"name":"libc","hash":"cccccccccccccccccccccccccccccccc","parameters":{"deptypes":["link"],"virtuals":["libc"]}}],"annotations":{"original_specfile_version":5},"hash":"llllllllllllllllllllllllllllllll"},
"tttttttttttttttttttttttttttttttt": {"name":"tool","version":"3","arch":{"platform":"linux","platform_os":"debian12","target":{"name":"zen3","vendor":"AuthenticAMD"}},"namespace":"builtin","parameters":{"build_system":"generic"},"dependencies":[{"name":"lib","hash":"llllllllllllllllllllllllllllllll","parameters":{"deptypes":["link"],"virtuals":[]}}],"annotations":{"original_specfile_version":5},"hash":"tttttttttttttttttttttttttttttttt"},
"gggggggggggggggggggggggggggggggg": {"name":"gcc","version":"12.2.0","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64_v3"},"namespace":"builtin","parameters":{"build_system":"autotools"},"external":{"path":"/usr","module":null,"extra_attributes":{}},"annotations":{"original_specfile_version":5},"hash":"gggggggggggggggggggggggggggggggg"},
"cccccccccccccccccccccccccccccccc": {"name":"libc","version":"2.36","arch":{"platform":"linux","platform_os":"debian12","target":"x86_64_v3"},"namespace":"builtin","parameters":{"build_system":"autotools"},"external":{"path":"/usr","module":null,"extra_attributes":{}},"annotations":{"original_specfile_version":5},"hash":"cccccccccccccccccccccccccccccccc"}
}}"#;

pub(crate) fn small() -> ConcreteSpecs {
    crate::lockfile::SpackLockfile::parse(LOCK)
        .expect("a lock")
        .specs
}

pub(crate) fn named<'a>(specs: &'a ConcreteSpecs, name: &str) -> &'a ConcreteSpec {
    specs
        .iter()
        .find(|it| it.name == name)
        .expect("a node of that name")
}

/// The node of this JSON text.
pub(crate) fn node(text: &str) -> ConcreteSpec {
    let raw = serde_json::from_str(text).expect("JSON");
    read_node(text, raw, NodeFormat::V5, None).expect("a node")
}
