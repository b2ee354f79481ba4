//! A bill as CycloneDX 1.6, JSON.
//!
//! Source: CycloneDX v1.6 JSON Reference (ECMA-424).

use serde_json::{Value, json};

use super::bill::{Bill, Component, ComponentKind};
use super::spdx::is_expression;

/// Media type of the document.
pub(super) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";
/// The predicate type of a statement that carries such a document. [in-toto/attestation, `spec/predicates/cyclonedx.md`]
pub(super) const PREDICATE_TYPE: &str = "https://cyclonedx.org/bom";

/// The document. The same bill gives the same bytes.
pub(super) fn document(bill: &Bill, tool: &str) -> Value {
    let (tool_name, tool_version) = tool.rsplit_once('-').unwrap_or((tool, ""));
    let image_ref = "image";
    let mut dependencies = vec![json!({
        "ref": image_ref,
        "dependsOn": bill.components.iter().map(|it| &*it.id).collect::<Vec<_>>(),
    })];
    dependencies.extend(bill.components.iter().map(|component| {
        let mut needs: Vec<&str> = component.needs.iter().map(|it| &**it).collect();
        // Elements have to be unique.
        needs.sort_unstable();
        needs.dedup();
        json!({"ref": component.id, "dependsOn": needs})
    }));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(bill),
        "version": 1,
        "metadata": {
            "timestamp": bill.created,
            "tools": {
                "components": [{"type": "application", "name": tool_name, "version": tool_version}],
            },
            "component": {
                "type": "container",
                "bom-ref": image_ref,
                "name": bill.name,
                "version": bill.version,
                "purl": bill.purl(),
                "hashes": [{"alg": "SHA-256", "content": bill.image.hex()}],
            },
        },
        "components": bill.components.iter().map(component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    })
}

/// A UUID made of the image's digest: the same image has the same bill. Version 8 is for numbers of one's own making.
/// [RFC 9562, section 5.8]
fn serial_number(bill: &Bill) -> String {
    let hex = bill.image.hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

fn component(component: &Component) -> Value {
    let kind = match component.kind {
        ComponentKind::Spack | ComponentKind::Debian => "library",
        ComponentKind::Base => "container",
    };
    let mut value = json!({
        "type": kind,
        "bom-ref": component.id,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
    });
    if let Some(archive) = &component.archive {
        value["hashes"] = json!([{"alg": "SHA-256", "content": archive.hex()}]);
    }
    match &component.licence {
        Some(licence) if is_expression(licence) => {
            value["licenses"] = json!([{"expression": licence}]);
        }
        Some(licence) => value["licenses"] = json!([{"license": {"name": licence}}]),
        None => {}
    }
    if !component.patches.is_empty() {
        let patch = |hash: &String| {
            json!({
                "type": "unofficial",
                "resolves": [{"type": "defect", "id": format!("sha256:{hash}")}],
            })
        };
        let patches: Vec<Value> = component.patches.iter().map(patch).collect();
        value["pedigree"] = json!({"patches": patches});
    }
    if let Some(spec) = &component.spec {
        value["properties"] = json!([{"name": "spack:spec", "value": spec}]);
    }
    value
}
