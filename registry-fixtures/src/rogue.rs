//! A server that answers requests as it is told: with too much, too little, something else, or never to the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How to answer a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With a status, headers and a body, whose length is announced truthfully.
    Whole { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// With these headers and this much of a body, and then the connection is cut.
    Cut { headers: Vec<(String, String)>, body: Vec<u8> },
    /// With a body that does not end for as long as somebody listens.
    Endless,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Answer::Whole { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Answer::Whole { status: 200, headers: Vec::new(), body: body.into() }
    }

    pub fn redirect(to: &str) -> Self {
        Answer::Whole { status: 307, headers: vec![("Location".to_owned(), to.to_owned())], body: Vec::new() }
    }
}

type Script = dyn FnMut(&str, &str) -> Answer + Send;

/// A server that misbehaves. Lives as long as the process.
#[derive(Debug)]
pub struct RogueRegistry {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl RogueRegistry {
    /// Answers each request by what `script` says to its first line (`GET /v2/…`) and its headers.
    pub fn start(script: impl FnMut(&str, &str) -> Answer + Send + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, seen) = (script.clone(), seen.clone());
                // Whoever hangs up has seen enough.
                std::thread::spawn(move || serve(stream, &script, &seen));
            }
        });
        Ok(RogueRegistry { port, requests })
    }

    /// `127.0.0.1:12345`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What was asked for, first lines with headers.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().map(|requests| requests.clone()).unwrap_or_default()
    }
}

fn serve(stream: TcpStream, script: &Mutex<Box<Script>>, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let (mut first, mut headers) = (String::new(), String::new());
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            headers.push_str(&line);
        }
        let length = headers
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok());
        std::io::copy(&mut reader.by_ref().take(length.unwrap_or(0)), &mut std::io::sink())?;
        if let Ok(mut seen) = seen.lock() {
            seen.push(format!("{first}{headers}"));
        }
        let Ok(answer) = script.lock().map(|mut script| script(first.trim_end(), &headers)) else {
            return Ok(());
        };
        let lines = |headers: &[(String, String)]| -> String {
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
        };
        match answer {
            Answer::Whole { status, headers, body } => {
                write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n{}\r\n",
                    body.len(),
                    lines(&headers)
                )?;
                if !first.starts_with("HEAD") {
                    stream.write_all(&body)?;
                }
            }
            Answer::Cut { headers, body } => {
                write!(stream, "HTTP/1.1 200 x\r\n{}\r\n", lines(&headers))?;
                stream.write_all(&body)?;
                return stream.shutdown(Shutdown::Both);
            }
            Answer::Endless => {
                write!(stream, "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    write!(stream, "10000\r\n")?;
                    stream.write_all(&[b' '; 0x10000])?;
                    write!(stream, "\r\n")?;
                }
            }
        }
    }
}
