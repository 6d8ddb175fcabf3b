//! Flags, environment and the user's `config.toml`, resolved once. Nothing below this crate reads either.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use rapidbyte_host::core::redact::Redactor;
use rapidbyte_host::install::{GlobalSettings, settings::CONFIG_FILE_NAME};
use rapidbyte_host::telemetry::Telemetry;
use rapidbyte_host::{HostError, PackageSettings};
use tracing_subscriber::filter::Targets;

use crate::args::{Color, Format, GlobalArgs};
use crate::faults::Faults;
use crate::report::Failure;

/// Everything that holds for any command.
pub struct Settings {
    pub format: Format,
    pub quiet: bool,
    /// Whether details are asked for.
    pub verbose: bool,
    /// Whether somebody watches: stderr is a terminal.
    pub watched: bool,
    pub log: LogSettings,
    pub faults: Faults,
    /// What a run is told to. None: nobody asked for it, or the command moves nothing.
    pub telemetry: Option<Telemetry>,
    /// What is handed down.
    pub host: rapidbyte_host::Settings,
}

/// What is logged and how.
pub struct LogSettings {
    pub filter: Targets,
    pub format: Format,
}

impl Settings {
    pub fn resolve(global: &GlobalArgs) -> Result<Self, anyhow::Error> {
        match global.color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        // What is not Unicode can stand in no pipeline.
        let variables: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let variable = |name: &str| variables.get(name).map(String::as_str).filter(|value| !value.is_empty());

        let home =
            match (variable("RAPIDBYTE_HOME"), variable("HOME")) {
                (Some(home), _) => PathBuf::from(home),
                (None, Some(home)) => PathBuf::from(home).join(".rapidbyte"),
                (None, None) => return Err(Failure::environment("home_unknown", "there is no home folder")
                    .hint(
                        "set RAPIDBYTE_HOME to the folder where state and compiled connectors are to be kept",
                    )
                    .into()),
            };
        let home = std::path::absolute(&home).map_err(|error| {
            Failure::environment("home_unknown", format!("`{}` is no usable folder: {error}", home.display()))
        })?;
        let log = LogSettings::resolve(global, variable)?;
        let faults = Faults::resolve(variable)?;
        let watched = std::io::stderr().is_terminal() && variable("TERM") != Some("dumb");
        let docker = match (variable("DOCKER_CONFIG"), variable("HOME")) {
            (Some(folder), _) => PathBuf::from(folder),
            (None, home) => PathBuf::from(home.unwrap_or(".")).join(".docker"),
        };
        let packages = GlobalSettings::read(&home.join(CONFIG_FILE_NAME)).map_err(HostError::from)?;
        let host = rapidbyte_host::Settings {
            home,
            environment: Arc::new(move |name| variables.get(name).cloned()),
            redactor: Redactor::default(),
            packages: PackageSettings { global: packages, docker },
        };
        Ok(Settings {
            format: global.format,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            watched,
            log,
            faults,
            telemetry: None,
            host,
        })
    }

    /// The user's settings for packages.
    pub fn config_path(&self) -> PathBuf {
        self.host.home.join(CONFIG_FILE_NAME)
    }
}

impl LogSettings {
    fn resolve<'a>(global: &GlobalArgs, variable: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Failure> {
        let by_flags = match (global.quiet, global.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "info",
            (false, _) => "debug",
        };
        let filter = variable("RAPIDBYTE_LOG").unwrap_or(by_flags);
        let filter = filter.parse().map_err(|error| {
            Failure::usage("log_filter", format!("RAPIDBYTE_LOG is `{filter}`: {error}"))
                .hint("name levels and parts, as `info` or `warn,rapidbyte_engine=debug`")
        })?;
        let format = match variable("RAPIDBYTE_LOG_FORMAT") {
            None | Some("human") => Format::Human,
            Some("json") => Format::Json,
            Some(other) => {
                return Err(Failure::usage("log_format", format!("RAPIDBYTE_LOG_FORMAT is `{other}`"))
                    .hint("it can be `human` or `json`"));
            }
        };
        Ok(LogSettings { filter, format })
    }
}
