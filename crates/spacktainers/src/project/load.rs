//! Reading a project: files in, values and every fault out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spack_format::environment::{Environment, Include, Machine, Manifest};
use spack_format::yaml::SourceId;

use super::definition::{Inputs, digests, env_vars, inspections, shown, views};
use super::discover::{Candidate, Form, discover};
use super::finish::{CONTAINER_FILE, Finish, of_epilogue, read_container, read_epilogue};
use super::{
    Definition, DefinitionKind, EPILOGUE_FILE, Project, ProjectError, SETTINGS_FILE, Settings,
    SpackDefinition, copied_files, included,
};
use crate::base::BaseSource;
use crate::build::Limits;
use crate::diagnostic::{Diagnostic, Sources};
use crate::layer::slim::SlimRules;
use crate::mirror::Location;

/// No file of a project is longer; what is longer is no definition.
const LONGEST_FILE: u64 = 8 << 20;

/// How many files deep `include` is followed.
const DEEPEST_INCLUDE: usize = 16;

/// Reads the project in `folder`.
pub(super) fn load(folder: &Path) -> Result<Project, ProjectError> {
    let mut loader = Loader {
        folder,
        sources: Sources::default(),
        faults: Vec::new(),
    };
    let settings = loader.settings()?;
    let definitions_folder = folder.join(&settings.definitions);
    if !definitions_folder.is_dir() {
        return Err(ProjectError::NoDefinitions {
            folder: definitions_folder,
        });
    }
    let unreadable = |source| ProjectError::Read {
        path: definitions_folder.clone(),
        source,
    };
    let (candidates, faults) =
        discover(&definitions_folder, &settings.definitions).map_err(unreadable)?;
    loader.faults.extend(faults);
    loader.settings_files(&settings);
    let site = loader.site();
    let mut definitions = Vec::new();
    for candidate in candidates {
        if let Some(definition) = loader.definition(candidate, &settings, site.as_ref()) {
            definitions.push(definition);
        }
    }
    Ok(Project {
        folder: folder.to_owned(),
        settings,
        definitions,
        sources: loader.sources,
        diagnostics: loader.faults,
    })
}

/// What is known of the files that are copied into the image.
fn of_files(finish: &Finish) -> String {
    finish.files.map(|it| it.to_string()).unwrap_or_default()
}

/// What is said beside a definition, with what the settings say of the same.
struct Finishing {
    finish: Vec<Finish>,
    /// Packages of the base for this container alone.
    base_packages: Vec<String>,
    slim: SlimRules,
    limits: Limits,
    tests: Vec<String>,
}

struct Loader<'a> {
    folder: &'a Path,
    sources: Sources,
    faults: Vec<Diagnostic>,
}

/// The project's own `spack.yaml`, with what it includes.
struct Site {
    scopes: Vec<Manifest>,
    texts: Vec<(String, SourceId)>,
}

impl Loader<'_> {
    fn settings(&mut self) -> Result<Settings, ProjectError> {
        let path = self.folder.join(SETTINGS_FILE);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Settings::default()),
            Err(source) => return Err(ProjectError::Read { path, source }),
        };
        let source = self.sources.add(SETTINGS_FILE, &*text);
        let (settings, faults) = Settings::parse(&text, source, self.folder);
        self.faults.extend(faults);
        Ok(settings)
    }

    /// Files and folders that the settings name.
    fn settings_files(&mut self, settings: &Settings) {
        for mirror in &settings.mirrors {
            if let Location::Folder(path) = &mirror.location
                && !path.is_dir()
            {
                let shown = shown(path, self.folder);
                self.faults.push(
                    Diagnostic::error(
                        mirror.place,
                        format!(
                            "the mirror `{}` is the folder `{}`, which is not there",
                            mirror.name,
                            shown.display()
                        ),
                    )
                    .label("no such folder")
                    .hint(
                        "a path that is not absolute is taken from the folder of spacktainers.toml",
                    ),
                );
            }
            for (key, place) in &mirror.keys {
                let fault = match fs::read(key) {
                    Ok(bytes) => crate::openpgp::PublicKeys::parse(&bytes)
                        .err()
                        .map(|error| error.to_string()),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(why) = fault {
                    self.faults.push(
                        Diagnostic::error(*place, format!("this key cannot be used: {why}"))
                            .label("no usable key")
                            .hint("export it with `gpg --export --armor KEY > FILE`; the path is taken from the folder of spacktainers.toml"),
                    );
                }
            }
        }
        for architecture in settings.architectures.values() {
            let Some(place) = architecture.base_place else {
                continue;
            };
            let missing = match &architecture.base {
                BaseSource::Rootfs(file) if !self.folder.join(file).is_file() => file,
                BaseSource::Layout { directory, .. } if !self.folder.join(directory).is_dir() => {
                    directory
                }
                _ => continue,
            };
            self.faults.push(
                Diagnostic::error(
                    place,
                    format!("the base `{}` is not there", missing.display()),
                )
                .label("not there")
                .hint("a path that is not absolute is taken from the folder of spacktainers.toml"),
            );
        }
        if let Some(keyring) = settings
            .debian
            .as_ref()
            .and_then(|debian| debian.keyring.as_ref())
            && !self.folder.join(keyring).is_file()
        {
            self.faults.push(
                Diagnostic::general(format!(
                    "the keyring `{}` of `[base.debian]` is not there",
                    keyring.display()
                ))
                .hint("leave `keyring` out to use the one that this machine's distribution has"),
            );
        }
    }

    fn site(&mut self) -> Option<Site> {
        let path = self.folder.join("spack.yaml");
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.faults.push(Diagnostic::general(format!(
                    "`spack.yaml` cannot be read: {error}"
                )));
                return None;
            }
        };
        let source = self.sources.add("spack.yaml", &*text);
        let manifest = Manifest::parse(&text, source);
        self.faults
            .extend(manifest.faults.iter().cloned().map(Diagnostic::from));
        let mut texts = vec![("spack.yaml".to_owned(), source)];
        let included = self.includes(&manifest, &path, &mut texts, 0);
        let scopes = std::iter::once(manifest).chain(included).collect();
        Some(Site { scopes, texts })
    }

    fn definition(
        &mut self,
        candidate: Candidate,
        settings: &Settings,
        site: Option<&Site>,
    ) -> Option<Definition> {
        let path = shown(&candidate.file, self.folder);
        let text = match read_text(&candidate.file) {
            Ok(text) => text,
            Err(error) => {
                self.faults.push(Diagnostic::general(format!(
                    "`{}` cannot be read: {error}",
                    path.display()
                )));
                return None;
            }
        };
        let source = self.sources.add(&path, &*text);
        // What is switched off may be as broken as it likes.
        let told = self.faults.len();
        let kind = match candidate.form {
            Form::Deffile => self.deffile(&text, source),
            Form::Folder | Form::Flat => self.spack(&candidate, &text, source, settings, site),
        };
        if !candidate.enabled {
            self.faults.truncate(told);
        }
        Some(Definition {
            name: candidate.name,
            architecture: candidate.architecture,
            variant: candidate.variant,
            enabled: candidate.enabled,
            file: candidate.file,
            source,
            kind,
            form: candidate.form,
        })
    }

    fn deffile(&mut self, text: &str, source: SourceId) -> DefinitionKind {
        let (definition, faults) = super::deffile_faults::read(text, source);
        self.faults.extend(faults);
        DefinitionKind::Deffile(definition)
    }

    fn spack(
        &mut self,
        candidate: &Candidate,
        text: &str,
        source: SourceId,
        settings: &Settings,
        site: Option<&Site>,
    ) -> DefinitionKind {
        let manifest = Manifest::parse(&copied_files::for_spack(text), source);
        self.faults
            .extend(manifest.faults.iter().cloned().map(Diagnostic::from));
        let mut texts = vec![("spack.yaml".to_owned(), source)];
        let included = self.includes(&manifest, &candidate.file, &mut texts, 0);
        let own = Environment::new(&manifest, &included);
        let site_scopes = site.map(|site| site.scopes.as_slice()).unwrap_or_default();
        let environment = Environment::new(&manifest, included.iter().chain(site_scopes));
        let machine = Machine {
            platform: Some("linux".to_owned()),
            os: None,
            target: settings
                .platform(candidate.architecture, candidate.variant.as_deref())
                .target,
        };
        let expansion = environment.user_specs(&machine);
        self.faults
            .extend(expansion.faults.into_iter().map(Diagnostic::from));
        if expansion.specs.is_empty() && !manifest.is_broken() && manifest.faults.is_empty() {
            let place = manifest
                .section_span("specs")
                .unwrap_or(manifest.sections.span);
            self.faults.push(
                Diagnostic::error(place, "this definition asks for no specs")
                    .label("no specs")
                    .hint("list what the image shall hold below `specs:`"),
            );
        }
        let views = views(&own, settings, &mut self.faults);
        let folder = candidate.file.parent().unwrap_or(self.folder);
        let environments = included::included(&manifest, folder, &mut self.faults);
        let Finishing {
            mut finish,
            base_packages,
            slim,
            limits,
            tests,
        } = self.finish(candidate, settings);
        if let Some(copies) = copied_files::read(text, source, &mut self.faults) {
            let folder = copied_files::folder(self.folder);
            let copies = of_epilogue(copies, source, &folder, &mut self.faults);
            finish.insert(0, copies);
        }
        if let Some(site) = site {
            texts.extend(
                site.texts
                    .iter()
                    .map(|(name, source)| (format!("site {name}"), *source)),
            );
        }
        let mut inputs: Vec<(&str, &str)> = texts
            .iter()
            .filter_map(|(name, source)| {
                Some((name.as_str(), self.sources.get(*source)?.text.as_str()))
            })
            .collect();
        let locks = environments.iter().filter_map(|it| it.lock.as_ref());
        inputs.extend(locks.map(|it| ("included", it.text.as_str())));
        let files: Vec<String> = finish.iter().map(of_files).collect();
        for (it, files) in finish.iter().zip(&files) {
            let text = self.sources.get(it.source).map(|it| it.text.as_str());
            inputs.push(("finish", text.unwrap_or_default()));
            inputs.push(("files", files));
        }
        let (digest, base_digest) = digests(&Inputs {
            architecture: candidate.architecture,
            variant: candidate.variant.as_deref(),
            texts: inputs,
            base_packages: &base_packages,
            settings,
        });
        DefinitionKind::Spack(Box::new(SpackDefinition {
            specs: expansion.specs,
            views,
            env_vars: env_vars(&environment),
            inspections: inspections(&environment),
            environment,
            included: environments,
            finish,
            base_packages,
            slim,
            limits,
            tests,
            digest,
            base_digest,
        }))
    }

    /// What lies beside the definition.
    fn finish(&mut self, candidate: &Candidate, settings: &Settings) -> Finishing {
        let mut all = Finishing {
            finish: Vec::new(),
            base_packages: Vec::new(),
            slim: settings.slim.clone(),
            limits: settings.limits,
            tests: Vec::new(),
        };
        if candidate.form != Form::Folder {
            return all;
        }
        let folder = candidate.file.parent().unwrap_or(self.folder).to_owned();
        if let Some((text, source)) = self.beside(&folder.join(CONTAINER_FILE)) {
            let declared = read_container(&text, source, &mut self.faults);
            let base = settings.architecture(candidate.architecture).base;
            if let Some((_, place)) = declared.packages.first()
                && base != BaseSource::Debian
            {
                self.faults.push(
                    Diagnostic::error(*place, "packages are those of a Debian base, and this base is another one")
                        .label("cannot be installed")
                        .hint(format!(
                            "choose `base = \"debian\"` for {} in spacktainers.toml, or take the packages out",
                            candidate.architecture
                        )),
                );
            }
            all.base_packages = declared.packages.into_iter().map(|it| it.0).collect();
            all.slim = all.slim.with(&declared.slim);
            all.limits = all.limits.with(declared.limits);
            all.tests = declared.tests;
            all.finish.push(of_epilogue(
                declared.epilogue,
                source,
                &folder,
                &mut self.faults,
            ));
        }
        if let Some((text, source)) = self.beside(&folder.join(EPILOGUE_FILE)) {
            let epilogue = read_epilogue(&text, source, &mut self.faults);
            let finish = of_epilogue(epilogue, source, &folder, &mut self.faults);
            all.finish.push(finish);
        }
        all
    }

    /// The text of a file that need not be there.
    fn beside(&mut self, file: &Path) -> Option<(String, SourceId)> {
        let path = shown(file, self.folder);
        match read_text(file) {
            Ok(text) => {
                let source = self.sources.add(path, &*text);
                Some((text, source))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let path = path.display();
                let told = Diagnostic::general(format!("`{path}` cannot be read: {error}"));
                self.faults.push(told);
                None
            }
        }
    }

    /// Files that `manifest` includes, highest scope first, followed all the way.
    ///
    /// What lies on other machines is left to Spack, who solves with it: for an image it decides little.
    fn includes(
        &mut self,
        manifest: &Manifest,
        file: &Path,
        texts: &mut Vec<(String, SourceId)>,
        depth: usize,
    ) -> Vec<Manifest> {
        let mut found = Vec::new();
        for include in manifest.includes() {
            for path in &include.paths {
                let is_elsewhere = include.git.is_some() || path.contains("://");
                if is_elsewhere || include.when.is_some() || path.contains('$') {
                    self.faults.push(
                        Diagnostic::error(include.span, format!("`{path}` is not looked at here"))
                            .as_warning()
                            .label("left to Spack")
                            .hint("only files of this machine, named without variables and conditions, are read"),
                    );
                    continue;
                }
                let target = file.parent().unwrap_or(file).join(path);
                for target in self.included_files(&target, path, &include) {
                    if depth >= DEEPEST_INCLUDE {
                        self.faults.push(
                            Diagnostic::error(include.span, "files include each other without end")
                                .label("again"),
                        );
                        return found;
                    }
                    let Some(manifest) = self.included_file(&target, &include, texts) else {
                        continue;
                    };
                    let below = self.includes(&manifest, &target, texts, depth + 1);
                    found.push(manifest);
                    found.extend(below);
                }
            }
        }
        found
    }

    /// A file, or all files of configuration in a folder.
    fn included_files(&mut self, target: &Path, written: &str, include: &Include) -> Vec<PathBuf> {
        if target.is_file() {
            return vec![target.to_owned()];
        }
        if target.is_dir() {
            let entries = fs::read_dir(target)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path());
            let mut files: Vec<PathBuf> = entries
                .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
                .collect();
            files.sort();
            return files;
        }
        if !include.optional {
            self.faults.push(
                Diagnostic::error(include.span, format!("the included `{written}` is not there"))
                    .label("not there")
                    .hint("relative paths are taken from the folder of the file that includes; `optional: true` allows absence"),
            );
        }
        Vec::new()
    }

    fn included_file(
        &mut self,
        path: &Path,
        include: &Include,
        texts: &mut Vec<(String, SourceId)>,
    ) -> Option<Manifest> {
        let name = shown(path, self.folder);
        match read_text(path) {
            Ok(text) => {
                let source = self.sources.add(&name, &*text);
                texts.push((name.display().to_string(), source));
                let manifest = Manifest::parse_configuration(&text, source);
                self.faults
                    .extend(manifest.faults.iter().cloned().map(Diagnostic::from));
                Some(manifest)
            }
            Err(error) => {
                self.faults.push(
                    Diagnostic::error(
                        include.span,
                        format!("`{}` cannot be read: {error}", name.display()),
                    )
                    .label("not readable"),
                );
                None
            }
        }
    }
}

/// A file as text. What is no text is an error of its own, which says where it stops to be one.
fn read_text(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > LONGEST_FILE {
        return Err(io::Error::other(format!(
            "it has {size} bytes, and at most {LONGEST_FILE} are read"
        )));
    }
    String::from_utf8(fs::read(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        io::Error::other(format!("line {line} is not UTF-8 text"))
    })
}
