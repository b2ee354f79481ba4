//! `cache list`: the packages of build caches.

use serde_json::json;
use spacktainers::build_cache::list;

use super::super::{block_on, session};
use super::args::ListArgs;
use super::named::Looked;
use super::{failure, named};
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer::{self, Verbosity};

pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let settings = named::settings(context)?;
    let mirrors = named::all(&args.mirrors, &settings, |_| true, "at all")?;
    block_on(async {
        let access = session::access(&settings, &[], context);
        let mut rows = Vec::new();
        for mirror in &mirrors {
            let packages = match mirror.look(&access).await? {
                Looked::Catalog(catalog) => list(&catalog).await,
                Looked::Registry(cache) => cache.list().await,
            };
            for package in packages.map_err(failure)? {
                if context.json {
                    rows.push(json!({
                        "mirror": mirror.name,
                        "name": package.name,
                        "version": package.version,
                        "hash": package.hash.as_str(),
                        "arch": package.arch,
                        "indexed": package.is_indexed,
                    }));
                    continue;
                }
                let arch = package.arch.as_deref().unwrap_or("-");
                let late = if package.is_indexed {
                    ""
                } else {
                    "  not in the index"
                };
                printer::out(&format!(
                    "{}@{}  /{}  {arch}{late}",
                    package.name, package.version, package.hash
                ));
                rows.push(json!(null));
            }
        }
        if context.json {
            printer::out(&json!({"event": "result", "packages": rows}).to_string());
        } else if context.verbosity > Verbosity::Quiet {
            printer::err(&format!("{} packages", rows.len()));
        }
        Ok(Exit::Done)
    })
}
