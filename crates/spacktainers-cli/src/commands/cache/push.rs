//! `cache push`: packages of an install tree, to build caches.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use spack_format::concrete::DepTypes;
use spack_format::dag_hash::DagHash;
use spacktainers::build_cache::{
    CacheError, Destination, Existing, IndexScope, PushOptions, Pushed, RegistryCache, Signing,
    push_all, update_index,
};
use spacktainers::fetch::Context as FetchContext;
use spacktainers::install_tree::InstallTree;
use spacktainers::mirror::WriteTarget;
use spacktainers::openpgp::SecretKey;

use super::super::{block_on, session};
use super::args::PushArgs;
use super::named::{self, Named};
use super::{exit_of, failure, sentence};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

/// Where CI jobs have the secret key: its text, the path of a file, or `gpg:FINGERPRINT`.
const KEY_VARIABLE: &str = "SPACK_DEPLOYMENT_KEY_PRIVATE";

pub(super) fn run(args: &PushArgs, context: &Context) -> Result<Exit, Failure> {
    let settings = named::settings(context)?;
    let mirrors = named::all(&args.mirrors, &settings, |it| it.push, "with `push = true`")?;
    let key = if args.unsigned { None } else { key(args)? };
    let tree = InstallTree::open(&args.tree).map_err(|error| Failure::new(Exit::Usage, error))?;
    let hashes = chosen(&tree, args)?;
    let cache = context.local_cache()?;
    block_on(async {
        let access = session::access(&settings, &[], context);
        let fetch = FetchContext {
            cache: &cache,
            reporter: &*context.reporter,
            jobs: context.jobs,
            now: std::time::SystemTime::now(),
        };
        let mut exit = Exit::Done;
        for mirror in &mirrors {
            let options = PushOptions {
                existing: match (args.force, args.keep) {
                    (true, _) => Existing::Replace,
                    (false, true) => Existing::Keep,
                    (false, false) => Existing::Compare,
                },
                allow_mutable: args.allow_mutable,
                private: args.private || mirror.is_private(),
            };
            let (all, scope) = (hashes.iter().copied(), IndexScope::Pending);
            match mirror.target(&access).await? {
                WriteTarget::Objects(writer) => {
                    let signing = signing(mirror, key.as_ref(), args)?;
                    let destination = Destination::new(writer, signing, options);
                    let results = push_all(&tree, all, &destination, &fetch).await;
                    exit = exit.max(told(&tree, &hashes, &results, destination.url(), context));
                    if !args.no_index {
                        let updated = update_index(destination.writer(), scope, &fetch).await;
                        updated.map_err(failure)?;
                    }
                }
                WriteTarget::Repository(repository) => {
                    if !args.unsigned && !mirror.is_unsigned() {
                        return Err(unsignable(mirror));
                    }
                    let cache = RegistryCache::new(repository, options);
                    let results = cache.push_all(&tree, all, &fetch).await;
                    exit = exit.max(told(&tree, &hashes, &results, cache.url(), context));
                    if !args.no_index {
                        let updated = cache.update_index(scope, &fetch).await;
                        updated.map_err(failure)?;
                    }
                }
            }
        }
        Ok(exit)
    })
}

/// The packages that the arguments mean, dependencies first.
fn chosen(tree: &InstallTree, args: &PushArgs) -> Result<Vec<DagHash>, Failure> {
    let mut roots = BTreeSet::new();
    for text in &args.specs {
        let found = tree.select(text);
        let found = found.map_err(|error| Failure::new(Exit::Usage, error))?;
        roots.extend(found.iter().map(|spec| spec.hash));
    }
    if args.specs.is_empty() {
        roots.extend(tree.packages().map(|spec| spec.hash));
    }
    if args.only {
        return Ok(roots.into_iter().collect());
    }
    let closure = tree.specs().closure(roots, DepTypes::RUNTIME);
    let mut chosen = Vec::new();
    for spec in closure.into_iter().filter(|spec| !spec.is_external()) {
        if tree.is_installed(&spec.hash) {
            chosen.push(spec.hash);
        } else {
            printer::err(&format!("{spec} is not installed and is left out"));
        }
    }
    Ok(chosen)
}

fn key(args: &PushArgs) -> Result<Option<Arc<SecretKey>>, Failure> {
    let variable = || std::env::var(KEY_VARIABLE).ok().filter(|it| !it.is_empty());
    let text = args.key.clone().or_else(variable);
    let key = text.map(|text| named::secret_key(&text, &args.passphrase));
    key.transpose()
}

fn signing(
    mirror: &Named,
    key: Option<&Arc<SecretKey>>,
    args: &PushArgs,
) -> Result<Signing, Failure> {
    match key {
        Some(key) => Ok(Signing::Key(Arc::clone(key))),
        None if args.unsigned || mirror.is_unsigned() => Ok(Signing::Unsigned),
        None => Err(Failure::new(
            Exit::Usage,
            anyhow::anyhow!("there is no key to sign the packages for `{}`", mirror.name),
        )
        .hint(format!(
            "give --key FILE or --key gpg:FINGERPRINT, or set {KEY_VARIABLE}; or say --unsigned"
        ))),
    }
}

/// Registries have no place for signatures: whoever pushes there says that he knows.
fn unsignable(mirror: &Named) -> Failure {
    let error = anyhow::anyhow!(
        "`{}` is a registry, whose packages are not signed",
        mirror.name
    );
    Failure::new(Exit::Usage, error)
        .hint("say --unsigned, or `signed = false` in the settings of the mirror")
}

/// Says what became of each package.
fn told(
    tree: &InstallTree,
    hashes: &[DagHash],
    results: &[Result<Pushed, CacheError>],
    url: &str,
    context: &Context,
) -> Exit {
    let (mut written, mut present, mut bytes) = (0, 0, 0);
    let mut exit = Exit::Done;
    let mut rows = Vec::new();
    for (hash, result) in hashes.iter().zip(results) {
        let package = tree
            .specs()
            .get(hash)
            .map_or_else(|| format!("/{hash}"), ToString::to_string);
        let state = match result {
            Ok(Pushed::Written { size, .. }) => {
                (written, bytes) = (written + 1, bytes + size);
                "written"
            }
            Ok(Pushed::Present) => {
                present += 1;
                "present"
            }
            Ok(Pushed::Refused { ours, theirs }) => {
                let theirs =
                    theirs.map_or_else(|| "another content".to_owned(), |it| it.to_string());
                printer::err(&format!(
                    "refused: {package}: the build cache has {theirs} under this hash, and what lies here is {ours}; \
                     --keep leaves what is there, --force puts this in its place"
                ));
                exit = exit.max(Exit::Unverified);
                "refused"
            }
            Ok(Pushed::Restricted) => {
                printer::err(&format!(
                    "not pushed: {package}: its recipe forbids to give its binary to others; \
                     --private pushes it to a mirror that is not for others"
                ));
                "restricted"
            }
            Ok(Pushed::Mutable {
                package: why,
                source,
            }) => {
                let through = if *why == package {
                    String::new()
                } else {
                    format!("needs {why}, and ")
                };
                printer::err(&format!(
                    "not pushed: {package}: {through}{source}; --allow-mutable pushes it all the same"
                ));
                "mutable"
            }
            Err(error) => {
                printer::err(&format!("failed: {}", sentence(error)));
                exit = exit.max(exit_of(error));
                "failed"
            }
        };
        rows.push(row(hash, &package, state, result));
    }
    if context.json {
        let document = json!({"event": "result", "mirror": url, "packages": rows});
        printer::out(&document.to_string());
    } else if context.verbosity > Verbosity::Quiet {
        printer::err(&format!(
            "{url}: {written} packages pushed ({}), {present} were there",
            printer::bytes(bytes)
        ));
    }
    exit
}

fn row(hash: &DagHash, package: &str, state: &str, result: &Result<Pushed, CacheError>) -> Value {
    let mut row = json!({"hash": hash.as_str(), "package": package, "state": state});
    match result {
        Ok(Pushed::Written { tarball, size }) => {
            row["digest"] = json!(tarball.to_string());
            row["size"] = json!(size);
        }
        Ok(Pushed::Refused { ours, theirs }) => {
            row["digest"] = json!(ours.to_string());
            row["theirs"] = json!(theirs.map(|it| it.to_string()));
        }
        Ok(Pushed::Mutable { source, .. }) => row["why"] = json!(source.to_string()),
        Err(error) => row["why"] = json!(sentence(error)),
        Ok(_) => {}
    }
    row
}
