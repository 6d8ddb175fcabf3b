//! `rapidbyte connector publish`: a connector that keeps the contract, with everything that says so, in a registry.

use anyhow::Result;
use rapidbyte_conformance::{Options, Suite, certificate};
use rapidbyte_host::Host;
use rapidbyte_host::operations::publish::{PublishOptions, Publishing};
use rapidbyte_host::packages::reference::RegistryRef;
use rapidbyte_host::publish::publication::Item;
use rapidbyte_host::publish::push::OLDER_SIGNATURE;
use rapidbyte_host::publish::{Publication, Step};
use serde::Serialize;

use super::test::{Screen, conclude, explain, refuse};
use crate::args::{CassetteArgs, PublishArgs};
use crate::building::Building;
use crate::commands::registry::from_here;
use crate::commands::{key, use_cassettes};
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::{Bytes, plural};
use crate::report::Failure;
use crate::runtime;
use crate::settings::Settings;
use crate::table::{Align, Table};

pub fn publish(host: &Host, args: PublishArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let PublishArgs { path, registry, key, dry_run, targets, allow_dirty, config, config_file, replay } =
        args;
    // Asked for first, so that nobody waits for a build to learn that the password is wrong.
    let key = key.map(|path| key::read(&path, settings)).transpose()?;
    let options =
        PublishOptions { path: path.clone(), registry: from_here(registry.clone()), targets, allow_dirty };
    let publishing = runtime::block_on(host.begin_publishing(options))??;
    let id = publishing.manifest.id();
    if key.is_none() {
        printer.warning(format_args!("`{id}` is not going to be signed; name a private key with `--key`"));
    }
    if !publishing.names_source() {
        printer.warning(format_args!("`{id}` is not going to name the commit that it is of"));
    }
    let mut building = Building::new(printer);
    let made =
        host.build_for_publishing(&publishing, &mut building).inspect_err(|error| building.explain(error))?;
    for warning in &made.warnings {
        printer.warning(warning);
    }

    use_cassettes(host, &CassetteArgs { record: None, replay })?;
    let suite = Options { path, fixture: config_file, config, ..Options::default() };
    let suite = Suite::prepare(host, &suite, &mut building).map_err(|error| refuse(error, &mut building))?;
    printer.status(
        Tone::Busy,
        "Testing",
        format_args!("{id} against {}", plural(suite.clause_count() as u64, "clause")),
    );
    let screen = Screen::new(settings, printer, suite.clause_count());
    let report = runtime::block_on(suite.run(&mut |progress| screen.show(&progress)))?;
    screen.clear();
    host.as_recorded()?;
    if conclude(&report, printer) != Exit::Success {
        for failure in report.outcomes.iter().filter_map(explain) {
            printer.foreign_line(&failure);
        }
        let message = format!("`{id}` breaks {}", plural(report.failed().len() as u64, "clause"));
        return Err(Failure::new(Exit::Connector, "connector_not_conformant", message)
            .hint("`rapidbyte connector test` says the same, and more")
            .into());
    }

    let certificate = certificate::certificate(&report);
    let publication = host.publication(&publishing, &made, &certificate, key.as_ref())?;
    if dry_run {
        printer.data(plan(&publication));
        printer.json(&PublishJson::new(&publishing, &publication, &registry, false, key.is_some()));
        printer.status(Tone::Good, "Dry run", format_args!("nothing of {id} was pushed"));
        return Ok(Exit::Success);
    }
    let mut observe = |step: Step<'_>| match step {
        Step::Sending { what, bytes } => {
            printer.status(Tone::Busy, "Pushing", format_args!("{what} ({})", Bytes(bytes)));
        }
        Step::Present { what, bytes } => {
            printer.status(Tone::Busy, "Present", format_args!("{what} ({})", Bytes(bytes)));
        }
    };
    let push = host.push_publication(&publishing, &publication, &mut observe);
    let pushed = runtime::block_on(push)??;
    printer.status(
        Tone::Good,
        "Published",
        format_args!("{id} to {} ({} sent)", publishing.registry(), Bytes(pushed.sent_bytes)),
    );
    printer.status(Tone::Good, "Install", install_line(&registry, &publishing));
    printer.data(pushed.digest);
    printer.json(&PublishJson::new(&publishing, &publication, &registry, true, key.is_some()));
    Ok(Exit::Success)
}

/// What whoever wants to use it types.
fn install_line(registry: &RegistryRef, publishing: &Publishing) -> String {
    let id = publishing.manifest.id();
    match registry {
        RegistryRef::Dir(_) => format!("rapidbyte connectors add {id} --registry {registry}"),
        named => format!("rapidbyte connectors add {named}/{id}"),
    }
}

/// What would be pushed, one line for each blob and manifest.
fn plan(publication: &Publication) -> String {
    let mut table = Table::new([
        ("what", Align::Left),
        ("media type", Align::Left),
        ("size", Align::Right),
        ("digest", Align::Left),
    ]);
    for row in rows(publication) {
        // A signature is another each time that it is made.
        let digest = row.digest.unwrap_or_else(|| "(made anew each time)".to_owned());
        table.row([row.what, row.media_type, row.bytes.to_string(), digest]);
    }
    format!("{table}\n\n{} at last, as the tag of {}", publication.version, publication.digest())
}

#[derive(Serialize)]
struct Row {
    what: String,
    media_type: String,
    bytes: u64,
    /// None: it holds a signature, which is another each time.
    digest: Option<String>,
}

fn rows(publication: &Publication) -> Vec<Row> {
    let of_item = |item: &Item| {
        let signed = item.statement.is_some();
        let blobs = item.blobs.iter().map(|blob| (&blob.descriptor, item.what.clone()));
        let manifest = (&item.descriptor, format!("{} (manifest)", item.what));
        let described = blobs.chain([manifest]).map(|(descriptor, what)| Row {
            what,
            media_type: descriptor.media_type.clone(),
            bytes: descriptor.size,
            digest: (!signed || descriptor.size == 2).then(|| descriptor.digest.to_string()),
        });
        described.collect::<Vec<_>>()
    };
    let mut rows: Vec<Row> = publication.items().flat_map(of_item).collect();
    rows.extend(publication.signature.iter().map(|signature| {
        let layer = &signature.signed.layer;
        Row {
            what: OLDER_SIGNATURE.to_owned(),
            media_type: layer.media_type.clone(),
            bytes: layer.size,
            digest: Some(layer.digest.to_string()),
        }
    }));
    rows
}

#[derive(Serialize)]
struct PublishJson {
    /// Name and version.
    connector: String,
    registry: String,
    repository: String,
    digest: String,
    /// False: it was a dry run.
    pushed: bool,
    signed: bool,
    install: String,
    items: Vec<Row>,
}

impl PublishJson {
    fn new(
        publishing: &Publishing,
        publication: &Publication,
        registry: &RegistryRef,
        pushed: bool,
        signed: bool,
    ) -> Self {
        PublishJson {
            connector: publishing.manifest.id(),
            registry: publishing.registry().to_owned(),
            repository: publishing.repository.clone(),
            digest: publication.digest().to_string(),
            pushed,
            signed,
            install: install_line(registry, publishing),
            items: rows(publication),
        }
    }
}
