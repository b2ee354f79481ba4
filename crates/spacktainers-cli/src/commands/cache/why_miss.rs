//! `cache why-miss`: whether the mirrors hold what a spec asks for, and if not, what is in the way of the nearest.

use serde_json::{Value, json};
use spack_format::environment::{Environment, Machine, Manifest};
use spacktainers::build;
use spacktainers::diagnostic::Sources;
use spacktainers::resolve::from_cache::{Nearest, Request, ResolveError, resolve};

use super::super::run::host_architecture;
use super::super::session::Session;
use super::super::{architecture, block_on};
use super::args::WhyMissArgs;
use super::named;
use crate::context::{Context, Failure};
use crate::exit::Exit;
use crate::printer;

pub(super) fn run(args: &WhyMissArgs, context: &Context) -> Result<Exit, Failure> {
    let settings = named::settings(context)?;
    let architecture = architecture(context)?.unwrap_or_else(host_architecture);
    let target = settings.architecture(architecture).target;
    // An environment of this one spec, so that it is read and chosen as any other. A JSON text is one of YAML.
    // A blank at its end keeps a colon there, which files lose.
    let blank = if args.spec.ends_with(':') { " " } else { "" };
    let spec = format!("{}{blank}", args.spec);
    let text = format!("spack: {{specs: [{}]}}\n", Value::from(spec));
    let mut sources = Sources::default();
    let source = sources.add("the command line", &*text);
    let environment = Environment::new(&Manifest::parse(&text, source), []);
    let expansion = environment.user_specs(&Machine {
        platform: Some("linux".to_owned()),
        os: None,
        target: target.clone(),
    });
    let request = Request {
        environment: &environment,
        specs: &expansion.specs,
        family: architecture.processor_family(),
        target: target.as_deref(),
        libc: None,
        included: &[],
        explains: true,
    };
    let known = block_on(async {
        let session = Session::new(&settings, &[], context).await?;
        build::known(&session.world(context))
            .await
            .map_err(|error| {
                let exit = super::super::session::exit_of(error.kind());
                Failure::new(exit, error)
            })
    })?;
    match resolve(&request, &known) {
        Ok(found) => {
            let Some(root) = found.roots.first() else {
                return Ok(Exit::Done);
            };
            if context.json {
                let document = json!({
                    "event": "result",
                    "spec": args.spec,
                    "found": root.hash,
                    "considered": root.considered,
                    "fitting": root.fitting,
                    "excluded": excluded(&root.excluded, &sources),
                });
                printer::out(&document.to_string());
                return Ok(Exit::Done);
            }
            printer::out(&format!(
                "{} is there: {} of {} fit",
                root.title, root.fitting, root.considered
            ));
            for line in root.excluded.iter().flat_map(|it| it.details(&sources)) {
                printer::out(&format!("  not {line}"));
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            let exit = match error.is_missing() {
                true => Exit::Missing,
                false => Exit::Usage,
            };
            if let (true, ResolveError::NoCandidate(roots)) = (context.json, &error) {
                let nearest: Vec<&Nearest> = roots.iter().flat_map(|it| &it.nearest).collect();
                let nearest: Vec<Value> = nearest.iter().map(|it| one(it, &sources)).collect();
                let document = json!({
                    "event": "result",
                    "spec": args.spec,
                    "found": Value::Null,
                    "considered": roots.first().map(|it| it.considered),
                    "excluded": nearest,
                });
                printer::out(&document.to_string());
                return Ok(exit);
            }
            let details: String = error
                .details(&sources)
                .iter()
                .map(|it| format!("\n  {it}"))
                .collect();
            Err(Failure::new(exit, anyhow::anyhow!("{error}{details}")))
        }
    }
}

fn excluded(all: &[Nearest], sources: &Sources) -> Vec<Value> {
    all.iter().map(|it| one(it, sources)).collect()
}

fn one(it: &Nearest, sources: &Sources) -> Value {
    json!({"spec": it.title, "hash": it.hash, "why": it.details(sources)})
}
