//! Where the static configuration comes from: a file, the environment, flags; one tree with one precedence.

use std::path::{Path, PathBuf};

use super::{accepted, keys};
use crate::config::node::{Node, Value};
use crate::config::{Origin, Problem, Source, assignment, source, toml, yaml};

/// What a process was started with. A flag counts more than a variable of weir's, that more than one of Traefik's, and
/// these more than the file, key by key.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--configFile`; without it, the first of [`Sources::DEFAULT_FILES`] that is there.
    pub file: Option<PathBuf>,
    /// Arguments such as `--entryPoints.web.address=:80`.
    pub flags: Vec<String>,
    /// All variables of the environment, of which those with weir's and Traefik's prefix count.
    pub variables: Vec<(String, String)>,
}

impl Sources {
    /// Where the static file is looked for.
    pub const DEFAULT_FILES: [&str; 3] = [
        "/etc/weir/weir.yml",
        "/etc/weir/weir.yaml",
        "/etc/weir/weir.toml",
    ];

    /// This file and nothing else.
    pub fn of_file(path: &Path) -> Self {
        Self {
            file: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// This process's environment, and these arguments.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<String>) -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Self {
            file,
            flags,
            variables: variables.collect(),
        }
    }

    /// Whether a file, a flag or a variable says where weir listens, beside the default files.
    pub fn are_given(&self) -> bool {
        let listens = |(name, _): &(String, String)| name.starts_with("WEIR_ENTRYPOINTS_");
        self.file.is_some() || !self.flags.is_empty() || self.variables.iter().any(listens)
    }

    /// One tree of all of them, without what has no effect; and a warning for each of that.
    pub(super) fn read(&self) -> Result<(Node, Vec<Problem>), Vec<Problem>> {
        let roots: Vec<&str> = keys::ROOT
            .known
            .iter()
            .chain(keys::ROOT.later)
            .copied()
            .collect();
        let (flags, variables) = (
            assignment::flags(&self.flags),
            assignment::variables(&self.variables, &roots),
        );
        let (flags, variables) = match (flags, variables) {
            (Ok(flags), Ok(variables)) => (flags, variables),
            (flags, variables) => {
                let problems = [flags.err(), variables.err()];
                return Err(problems.into_iter().flatten().flatten().collect());
            }
        };
        let given = flags.value != Value::Null || variables.value != Value::Null;
        let above = assignment::over(variables, flags);
        let mut root = match self.path(given)? {
            Some(path) => assignment::over(tree(&path).map_err(|problem| vec![problem])?, above),
            None => above,
        };
        let warnings = accepted::take(&mut root);
        Ok((root, warnings))
    }

    /// The file to read; none where the rest may do without.
    fn path(&self, given: bool) -> Result<Option<PathBuf>, Vec<Problem>> {
        if let Some(file) = &self.file {
            return Ok(Some(file.clone()));
        }
        let found = Self::DEFAULT_FILES
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists());
        if found.is_some() || given {
            return Ok(found);
        }
        let remedy = match self.traefiks() {
            Some(path) => format!(
                "Traefik's file is read when asked for: --configFile={}",
                path.display()
            ),
            None => "create it, or name another with --configFile".to_owned(),
        };
        let problem = Problem::error(
            Origin::file(Path::new(Self::DEFAULT_FILES[0])),
            "no such file",
        );
        Err(vec![problem.remedy(remedy)])
    }

    /// Where Traefik would have found its own.
    fn traefiks(&self) -> Option<PathBuf> {
        let variable = |wanted: &str| {
            let mut all = self.variables.iter();
            all.find(|(name, _)| name == wanted)
                .map(|(_, value)| PathBuf::from(value))
        };
        let home = variable("HOME").map(|home| home.join(".config"));
        let places = [
            Some(PathBuf::from("/etc/traefik")),
            variable("XDG_CONFIG_HOME"),
            home,
            Some(PathBuf::new()),
        ];
        let files = places.into_iter().flatten().flat_map(|place| {
            ["traefik.yml", "traefik.yaml", "traefik.toml"].map(|name| place.join(name))
        });
        files.into_iter().find(|path| path.is_file())
    }
}

fn tree(path: &Path) -> Result<Node, Problem> {
    let text = source::read(path).map_err(|problem| {
        let named = "name another with --configFile";
        let remedy = match &*problem.remedy {
            "" => named.to_owned(),
            remedy => format!("{remedy}, or {named}"),
        };
        problem.remedy(remedy)
    })?;
    parse(path, &text)
}

/// The tree of a file's text, by the file's name: TOML, else YAML.
pub(super) fn parse(path: &Path, text: &str) -> Result<Node, Problem> {
    let file = Source::file(path);
    match path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
    {
        true => toml::read(&file, text),
        false => yaml::read(&file, text),
    }
}
