//! `cargo run --example fixture_server [PORT]`: the fixture server, until Ctrl-C.

#[path = "../fixtures/server.rs"]
mod server;

fn main() -> std::io::Result<()> {
    let port = match std::env::args().nth(1) {
        None => 8787,
        Some(port) => port.parse().map_err(std::io::Error::other)?,
    };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/issues.json");
    println!(
        "serving {file} at {}",
        server::start(port, file.into(), None)?
    );
    loop {
        std::thread::park();
    }
}
