//! `cargo run --example fixture_server`: the fixture server, until Ctrl-C. `API_PORT` says where, by default 8787.

#[path = "../fixtures/server.rs"]
mod server;

fn main() -> std::io::Result<()> {
    let port = match std::env::var("API_PORT") {
        Err(_) => 8787,
        Ok(port) => port.parse().map_err(std::io::Error::other)?,
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
