//! A bill as SPDX 2.3, JSON.
//!
//! Source: SPDX Specification 2.3, clauses 6 (document), 7 (packages), 10 (other licences), 11 (relationships), Annex D
//! (expressions).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bill::{Bill, Component, ComponentKind};

/// Media type of the document.
pub(super) const MEDIA_TYPE: &str = "application/spdx+json";
/// The predicate type of a statement that carries such a document. [in-toto/attestation, `spec/predicates/spdx.md`]
pub(super) const PREDICATE_TYPE: &str = "https://spdx.dev/Document";

const NONE: &str = "NOASSERTION";

/// The document. The same bill gives the same bytes.
pub(super) fn document(bill: &Bill, tool: &str) -> Value {
    let mut licences = Licences::default();
    let image_id = "SPDXRef-image";
    let mut packages = vec![json!({
        "SPDXID": image_id,
        "name": bill.name,
        "versionInfo": bill.version,
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": bill.image.hex()}],
        "externalRefs": [purl(&bill.purl())],
    })];
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", image_id)];
    for component in &bill.components {
        packages.push(package(component, &mut licences));
        let id = reference(&component.id);
        relationships.push(relationship(image_id, "CONTAINS", &id));
        for needed in &component.needs {
            relationships.push(relationship(&id, "DEPENDS_ON", &reference(needed)));
        }
        for patch in &component.patches {
            let patch_id = format!("SPDXRef-patch-{patch}");
            relationships.push(relationship(&patch_id, "PATCH_FOR", &id));
        }
    }
    packages.extend(patches(bill));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", bill.name, bill.version),
        // Unique to the image, and no address of anybody's: nothing has to answer there.
        "documentNamespace": format!("urn:spdx:spacktainers:{}", bill.image),
        "creationInfo": {
            "created": bill.created,
            "creators": [format!("Tool: {tool}")],
        },
        "packages": packages,
        "relationships": relationships,
    });
    let others = licences.others();
    if !others.is_empty() {
        document["hasExtractedLicensingInfos"] = Value::Array(others);
    }
    document
}

fn package(component: &Component, licences: &mut Licences) -> Value {
    let declared = match &component.licence {
        Some(licence) => licences.expression(licence),
        None => NONE.to_owned(),
    };
    let mut package = json!({
        "SPDXID": reference(&component.id),
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": declared,
        "copyrightText": NONE,
        "externalRefs": [purl(&component.purl)],
    });
    if component.kind == ComponentKind::Base {
        package["primaryPackagePurpose"] = json!("CONTAINER");
    }
    if let Some(archive) = &component.archive {
        package["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": archive.hex()}]);
    }
    if let Some(spec) = &component.spec {
        package["comment"] = json!(format!("Spack: {spec}"));
    }
    package
}

/// Patches are packages of their own, once each: that is what `PATCH_FOR` can point from.
fn patches(bill: &Bill) -> impl Iterator<Item = Value> {
    let all: std::collections::BTreeSet<&String> =
        bill.components.iter().flat_map(|it| &it.patches).collect();
    all.into_iter().map(|patch| {
        json!({
            "SPDXID": format!("SPDXRef-patch-{patch}"),
            "name": format!("patch {}", patch.get(..12).unwrap_or(patch)),
            "downloadLocation": NONE,
            "filesAnalyzed": false,
            "licenseConcluded": NONE,
            "licenseDeclared": NONE,
            "copyrightText": NONE,
            "primaryPackagePurpose": "SOURCE",
            "checksums": [{"algorithm": "SHA256", "checksumValue": patch}],
        })
    })
}

fn reference(id: &str) -> String {
    format!("SPDXRef-{id}")
}

fn purl(purl: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    })
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": from,
        "relationshipType": kind,
        "relatedSpdxElement": to,
    })
}

/// Licences that are on no list of SPDX's, each with a name that the document explains.
#[derive(Default)]
struct Licences(BTreeMap<String, String>);

impl Licences {
    /// The expression itself where it is one, else a reference to its text.
    fn expression(&mut self, licence: &str) -> String {
        if is_expression(licence) {
            return licence.to_owned();
        }
        let plain = |it: char| {
            if it.is_ascii_alphanumeric() || it == '.' {
                it
            } else {
                '-'
            }
        };
        let plain: String = licence.chars().map(plain).collect();
        let mut name = format!("LicenseRef-spack-{plain}");
        // Two texts may look alike without their punctuation.
        while self.0.get(&name).is_some_and(|it| it != licence) {
            name.push('x');
        }
        self.0.insert(name.clone(), licence.to_owned());
        name
    }

    fn others(self) -> Vec<Value> {
        let other = |(name, text): (String, String)| {
            json!({
                "licenseId": name,
                "name": text,
                "extractedText": format!("What the Spack recipe declares: {text}"),
            })
        };
        self.0.into_iter().map(other).collect()
    }
}

/// Whether a text is an SPDX expression of known licences.
pub(super) fn is_expression(text: &str) -> bool {
    ::spdx::Expression::parse(text).is_ok()
}
