//! Logs: `tracing` events to stderr, past the bars and through the redactor, and to the collector where there is one. Nothing is set up for what is not asked for.

use std::io::{self, Write};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::Format;
use crate::printer::Printer;
use crate::settings::Settings;

/// From here on `tracing` events of this process are shown as the settings say.
pub fn start(settings: &Settings, printer: &Printer) {
    let writer = LogWriter(printer.clone());
    // The writer takes colours out again where they are not wanted.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match settings.log.format {
        Format::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        _ => layer.compact().boxed(),
    };
    // A collector gets what is worth knowing later, whatever is shown here.
    let exported =
        settings.telemetry.as_ref().map(|telemetry| telemetry.layer().with_filter(LevelFilter::INFO));
    tracing_subscriber::registry().with(exported).with(layer.with_filter(settings.log.filter.clone())).init();
}

struct LogWriter(Printer);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine { printer: &self.0, text: Vec::new() }
    }
}

/// One event's text, written whole when it is complete: a secret cut in two would not be recognised.
struct LogLine<'a> {
    printer: &'a Printer,
    text: Vec<u8>,
}

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.printer.write_error(&String::from_utf8_lossy(&self.text));
        }
    }
}
