//! The throw-away server keeps what was committed, whatever is done to it, and is gone afterwards.

use std::net::TcpStream;

use xtask::postgres::{Durability, Server, Shutdown};

#[test]
fn a_server_survives_restarts_and_leaves_nothing() {
    let mut server = Server::start(Durability::Relaxed).expect("a server");
    server
        .sql("postgres", "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)")
        .unwrap();
    for shutdown in [Shutdown::Fast, Shutdown::Immediate] {
        server.restart(shutdown).unwrap();
        assert_eq!(server.sql("postgres", "SELECT * FROM t ORDER BY a").unwrap(), "1|x\n2|");
    }
    server.wait_idle().unwrap();
    let error = server.sql("postgres", "SELECT 1; SELECT nonsense").unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");

    let address = (server.host(), server.port());
    drop(server);
    assert!(TcpStream::connect(address).is_err(), "still listening");
}
