//! `rapidbyte connectors test`: the conformance suite over what was built elsewhere.

use anyhow::Result;
use rapidbyte_host::Host;

use super::find;
use crate::args::{TestArgs, TestPackageArgs};
use crate::commands::connector;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings::Settings;

pub fn test(host: &Host, args: TestPackageArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let (_, component) = find(host, &args.package)?;
    let args = TestArgs {
        path: component,
        trial: args.trial,
        list: false,
        seed: args.seed,
        report: None,
        certificate: None,
        cassettes: Default::default(),
    };
    connector::test::test(host, &args, settings, printer)
}
