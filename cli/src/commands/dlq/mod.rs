//! `rapidbyte dlq`: records that could not go on.

mod forget;
mod list;
mod replay;
mod show;

use anyhow::Result;
use rapidbyte_host::Host;

use crate::args::DlqCommand;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings::Settings;

pub fn dispatch(host: &Host, command: DlqCommand, settings: &Settings, printer: &Printer) -> Result<Exit> {
    match command {
        DlqCommand::List { pipeline } => list::list(host, &pipeline, printer),
        DlqCommand::Show(args) => show::show(host, args, printer),
        DlqCommand::Replay(args) => replay::replay(host, args, settings, printer),
        DlqCommand::Forget { pipeline, stream, all: _ } => {
            forget::forget(host, &pipeline, stream.as_deref(), printer)
        }
    }
}

/// `2026-11-21T03:35:12.123Z`, of milliseconds since the epoch.
fn instant_ms(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| format!("{millis}ms"), |instant| instant.to_string())
}
