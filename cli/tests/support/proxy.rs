//! A way to a server that breaks: hands bytes on, and cuts connections after as many as it is told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

pub struct Proxy {
    pub port: u16,
    cut: Arc<AtomicUsize>,
}

impl Proxy {
    /// The first connections are cut after these numbers of bytes, counted in both directions; the ones behind them are whole.
    pub fn start(server: u16, after: Vec<u64>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let cut = Arc::new(AtomicUsize::new(0));
        let proxy = Proxy { port, cut: cut.clone() };
        // Lives as long as the test's process does.
        thread::spawn(move || {
            let mut after = after.into_iter();
            for client in listener.incoming().flatten() {
                // A server that is away is a connection that ends at once.
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                let left = Arc::new(AtomicU64::new(after.next().unwrap_or(u64::MAX)));
                let streams = |stream: &TcpStream| stream.try_clone().expect("another handle");
                for (from, to) in [(streams(&client), streams(&server)), (server, client)] {
                    let (left, cut) = (left.clone(), cut.clone());
                    thread::spawn(move || hand_on(from, to, &left, &cut));
                }
            }
        });
        proxy
    }

    /// How many connections were cut so far.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::Relaxed)
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, left: &AtomicU64, cut: &AtomicUsize) {
    let mut buffer = vec![0; 1 << 14];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let take = |left: u64| Some(left.saturating_sub(read as u64));
        let allowed = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        let passed = read.min(usize::try_from(allowed).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..passed]).is_err() {
            break;
        }
        if passed < read {
            cut.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
