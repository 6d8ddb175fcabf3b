//! The HTTP client against a server that answers from a script, natively as in connectors' own tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rapidbyte_sdk::http::{HttpClient, Method};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::block_on;

/// What happens on one connection: an answer per request. After the last one the connection is closed.
type Script = Vec<String>;

/// A server that takes one connection after the other, and the requests that it saw.
struct Server {
    url: String,
    seen: mpsc::Receiver<String>,
    running: JoinHandle<()>,
}

impl Server {
    fn start(connections: Vec<Script>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), connections)
    }

    fn on(listener: TcpListener, connections: Vec<Script>) -> Self {
        let url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::channel();
        let running = std::thread::spawn(move || {
            for script in connections {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                for answer in script {
                    sender.send(read_request(&mut reader)).unwrap();
                    (&stream).write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        Server { url, seen, running }
    }

    /// The requests, once every connection of the script has been made and closed.
    fn finish(self) -> Vec<String> {
        self.running.join().unwrap();
        self.seen.into_iter().collect()
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> String {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut request).unwrap() > 0, "half a request: {request}");
    }
    let length = request.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    request + &String::from_utf8(body).unwrap()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn refusal(status: &str, headers: &str, body: &str) -> ConnectorError {
    let server = Server::start(vec![vec![answer(status, headers, body)]]);
    let client = HttpClient::new(&server.url).unwrap();
    let error = block_on(client.get("issues").query("key", "hunter2").send()).unwrap_err();
    server.finish();
    assert!(!error.message.contains("hunter2"), "a query may hold a secret: {error}");
    error
}

#[test]
fn asks_and_answers_over_one_connection() {
    let server = Server::start(vec![vec![
        answer("200 OK", "x-total: 2\r\n", r#"[{"id":1},{"id":2}]"#),
        answer("201 Created", "", ""),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_owned(),
    ]]);
    block_on(async {
        let client = HttpClient::new(&server.url).unwrap().with_bearer_token("t0ken").unwrap();
        let first = client.get("/issues").query("after", 7).query("q", "a&b ü").send().await.unwrap();
        assert_eq!((first.status().as_u16(), first.header("X-Total")), (200, Some("2")));
        assert_eq!(first.json::<serde_json::Value>().unwrap()[1]["id"], 2);
        let body = serde_json::json!({ "title": "x" });
        let posted = client.post("issues").header("accept", "text/plain").json(&body).send().await.unwrap();
        assert!(posted.bytes().is_empty());
        assert_eq!(client.clone().request(Method::GET, "").send().await.unwrap().text(), "abcde");
    });
    let seen = server.finish();
    assert!(seen[0].starts_with("GET /v1/issues?after=7&q=a%26b+%C3%BC HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("authorization: Bearer t0ken\r\n") && seen[0].contains("host: 127.0.0.1:"));
    assert!(seen[0].contains("accept: application/json\r\n"));
    assert!(seen[1].starts_with("POST /v1/issues HTTP/1.1\r\n") && seen[1].ends_with(r#"{"title":"x"}"#));
    assert!(seen[1].contains("accept: text/plain\r\n") && !seen[1].contains("accept: application/json"));
    assert!(seen[2].starts_with("GET /v1 HTTP/1.1\r\n"), "{}", seen[2]);
}

#[test]
fn a_kept_connection_that_the_server_closed_is_replaced() {
    let server = Server::start(vec![vec![answer("200 OK", "", "one")], vec![answer("200 OK", "", "two")]]);
    block_on(async {
        let client = HttpClient::new(&server.url).unwrap();
        assert_eq!(client.get("").send().await.unwrap().text(), "one");
        assert_eq!(client.get("").send().await.unwrap().text(), "two");
    });
    assert_eq!(server.finish().len(), 2);
}

#[test]
fn statuses_are_typed_errors() {
    use ErrorCategory::*;
    for (status, category, code) in [
        ("301 Moved Permanently", Config, "http_redirect"),
        ("400 Bad Request", Config, "http_bad_request"),
        ("401 Unauthorized", Auth, "http_unauthorized"),
        ("403 Forbidden", Auth, "http_forbidden"),
        ("404 Not Found", Config, "http_not_found"),
        ("408 Request Timeout", TransientNetwork, "http_timeout"),
        ("422 Unprocessable Entity", Data, "http_refused"),
        ("429 Too Many Requests", RateLimit, "http_too_many_requests"),
        ("500 Internal Server Error", TransientNetwork, "http_server_error"),
        ("501 Not Implemented", Config, "http_not_supported"),
        ("503 Service Unavailable", TransientNetwork, "http_server_error"),
    ] {
        let error = refusal(status, "", "why\n not");
        assert_eq!((error.category, error.code.as_str()), (category, code), "{status}");
        assert_eq!(error.retryable, matches!(category, RateLimit | TransientNetwork), "{status}");
        assert_eq!(error.scope, ErrorScope::PerStream, "{status}");
        assert!(error.message.starts_with("GET `http://127.0.0.1:"), "{error}");
        assert!(error.message.contains(&format!("/v1/issues` answered {status}: ")), "{error}");
    }
    assert!(refusal("400 Bad Request", "", "why\n not").message.ends_with(": why not"));
    let redirect = refusal("302 Found", "location: https://elsewhere.example/x?token=1\r\n", "");
    assert!(redirect.message.ends_with("it points to `https://elsewhere.example/x`"), "{redirect}");
}

#[test]
fn the_server_says_how_long_to_wait() {
    assert_eq!(refusal("429 Too Many Requests", "retry-after: 3\r\n", "").retry_after_ms, Some(3_000));
    assert_eq!(refusal("503 Service Unavailable", "retry-after: 7\r\n", "").retry_after_ms, Some(7_000));
    let past = "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(refusal("429 Too Many Requests", past, "").retry_after_ms, Some(0));
    assert_eq!(refusal("429 Too Many Requests", "", "").retry_after_ms, None);
    assert_eq!(refusal("400 Bad Request", "retry-after: 3\r\n", "").retry_after_ms, None);
}

#[test]
fn any_status_can_be_an_answer() {
    let server = Server::start(vec![vec![answer("404 Not Found", "", "none")]]);
    let client = HttpClient::new(&server.url).unwrap();
    let answer = block_on(client.get("issues/9").send_any_status()).unwrap();
    assert_eq!((answer.status().as_u16(), &*answer.text()), (404, "none"));
    server.finish();
}

#[test]
fn answers_have_a_largest_size_whether_announced_or_not() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n";
    for (text, bytes_max, fits) in [
        (answer("200 OK", "", "12345"), 5, true),
        (answer("200 OK", "", "12345"), 4, false),
        (chunked.to_owned(), 5, true),
        (chunked.to_owned(), 4, false),
    ] {
        let server = Server::start(vec![vec![text]]);
        let client = HttpClient::new(&server.url).unwrap().with_body_bytes_max(bytes_max);
        match block_on(client.get("").send()) {
            Ok(answer) => assert!(fits && answer.text() == "12345"),
            Err(error) => {
                assert!(!fits, "{error}");
                assert_eq!(
                    (error.category, error.code.as_str()),
                    (ErrorCategory::Data, "http_body_too_large")
                );
            }
        }
        server.finish();
    }
}

#[test]
fn silence_and_broken_answers_are_errors_of_the_network() {
    // Accepted by the system, answered by nobody.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = HttpClient::new(&url).unwrap().with_idle_timeout(Duration::from_millis(50));
    let error = block_on(client.get("").send()).unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::TransientNetwork, "http_timeout"));
    drop(silent);
    let error = block_on(client.get("").send()).unwrap_err();
    assert_eq!(error.code, "connection_refused", "{error}");

    for (broken, retryable) in
        [("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123", true), ("SSH-2.0-OpenSSH\r\n\r\n", false)]
    {
        let server = Server::start(vec![vec![broken.to_owned()]]);
        let client = HttpClient::new(&server.url).unwrap();
        let error = block_on(client.get("").send()).unwrap_err();
        assert_eq!(error.category, ErrorCategory::TransientNetwork, "{error}");
        assert_eq!(error.retryable, retryable, "{error}");
        server.finish();
    }
}

#[test]
fn json_that_does_not_fit_is_named_by_its_place() {
    let server = Server::start(vec![vec![answer("200 OK", "", r#"[{"id":"hunter2"}]"#)]]);
    let client = HttpClient::new(&server.url).unwrap();
    let answer = block_on(client.get("").send()).unwrap();
    server.finish();
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only its type matters")]
    struct Issue {
        id: i64,
    }
    let error = answer.json::<Vec<Issue>>().unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "http_bad_json"));
    assert!(error.message.contains("`[0].id`") && !error.message.contains("hunter2"), "{error}");
}

#[test]
fn wrong_parts_are_refused_before_anything_is_sent() {
    let client = HttpClient::new("http://127.0.0.1:1").unwrap();
    assert_eq!(client.clone().with_bearer_token("a\nb").unwrap_err().code, "http_bad_header");
    let error = block_on(client.get("").header("x y", "z").send()).unwrap_err();
    assert_eq!(error.code, "http_bad_header");
    assert_eq!(block_on(client.get("a b").send()).unwrap_err().code, "http_bad_path");
}

#[test]
fn pages_are_followed_by_their_links_on_the_same_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let link = |target: &str| format!("link: <{target}>; rel=\"next\", </last>; rel=\"last\"\r\n");
    let elsewhere = format!("http://localhost:{}/v1/issues?token=hunter2", host.port());
    let server = Server::on(
        listener,
        vec![vec![
            answer("200 OK", &link(&format!("http://{host}/v1/issues?page=2&per=1")), "1"),
            answer("200 OK", &link("/v1/issues?page=3"), "2"),
            answer("200 OK", "link: </v1/issues>; rel=\"first\"\r\n", "3"),
            answer("200 OK", &link(&elsewhere), "4"),
        ]],
    );
    let client = HttpClient::new(&server.url).unwrap().with_bearer_token("t0ken").unwrap();
    let error = block_on(async {
        let mut page = Some(client.get("issues").query("per", 1));
        let mut texts = Vec::new();
        while let Some(request) = page {
            let answer = request.send().await.unwrap();
            texts.push(answer.text().into_owned());
            page = client.next_page(&answer).unwrap();
        }
        assert_eq!(texts, ["1", "2", "3"]);
        let answer = client.get("issues").send().await.unwrap();
        client.next_page(&answer).err().expect("another server gets no token")
    });
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Config, "http_elsewhere"));
    assert!(!error.message.contains("hunter2"), "{error}");
    let seen = server.finish();
    assert!(seen[1].starts_with("GET /v1/issues?page=2&per=1 HTTP/1.1\r\n"), "{}", seen[1]);
    assert!(seen[2].starts_with("GET /v1/issues?page=3 HTTP/1.1\r\n"), "{}", seen[2]);
    assert!(seen[2].contains("authorization: Bearer t0ken\r\n"));
}

#[test]
fn what_is_compressed_unasked_is_named_so() {
    let server = Server::start(vec![vec![answer("200 OK", "content-encoding: gzip\r\n", "\u{1f}\u{8b}")]]);
    let client = HttpClient::new(&server.url).unwrap();
    let error = block_on(client.get("").send()).unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "http_encoded"), "{error}");
    assert!(server.finish()[0].contains("accept-encoding: identity\r\n"));
}

/// Answers one request with these pieces, again and again the last one, for as long as the client takes them.
fn hostile(pieces: &'static [&'static [u8]]) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let running = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        read_request(&mut BufReader::new(stream.try_clone().unwrap()));
        let (last, first) = pieces.split_last().unwrap();
        let sent = first.iter().try_for_each(|piece| (&stream).write_all(piece));
        while sent.is_ok() && (&stream).write_all(last).is_ok() {}
    });
    (url, running)
}

#[test]
fn a_hostile_server_ends_a_request_and_nothing_else() {
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let endless: &[(&str, &[&[u8]])] = &[
        ("a header without end", &[b"HTTP/1.1 200 OK\r\nx: ", b"xxxxxxxxxxxxxxxx"]),
        ("headers without end", &[b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"]),
        ("a status line without end", &[b"HTTP/1.1 200 ", b"OK"]),
        ("a body without end", &[b"HTTP/1.1 200 OK\r\n\r\n", b"xxxxxxxxxxxxxxxx"]),
        ("chunks without end", &[CHUNKED, b"4\r\nxxxx\r\n"]),
        ("extensions of chunks without end", &[CHUNKED, b"4;", b"x"]),
        ("trailers without end", &[CHUNKED, b"0\r\n", b"x: y\r\n"]),
        ("a chunk of impossible size", &[CHUNKED, b"fffffffffffffffffffffff\r\n", b"x"]),
        (
            "a body of impossible size",
            &[b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", b"x"],
        ),
        ("two sizes", &[b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", b"xx"]),
        ("a size that is negative", &[b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", b"x"]),
        ("another protocol", &[b"\x15\x03\x01\x00\x02\x02\x46", b"\0"]),
    ];
    for (what, pieces) in endless {
        let (url, running) = hostile(pieces);
        let client = HttpClient::new(&url).unwrap().with_body_bytes_max(1024 * 1024);
        let error = block_on(client.get("").send()).err().unwrap_or_else(|| panic!("{what} is taken"));
        assert!(
            matches!(error.category, ErrorCategory::TransientNetwork | ErrorCategory::Data),
            "{what}: {error:?}"
        );
        assert!(error.message.len() < 1_000, "{what}: {error}");
        drop(client);
        running.join().unwrap();
    }
}

#[test]
fn an_answer_that_nobody_asked_for_answers_nothing() {
    let poisoned = answer("200 OK", "", "mine") + &answer("200 OK", "", "poison");
    let server = Server::start(vec![vec![poisoned], vec![answer("200 OK", "", "second")]]);
    block_on(async {
        let client = HttpClient::new(&server.url).unwrap();
        assert_eq!(client.get("a").send().await.unwrap().text(), "mine");
        assert_eq!(client.get("b").send().await.unwrap().text(), "second");
    });
    assert_eq!(server.finish().len(), 2);
}

#[test]
fn what_may_have_been_done_is_not_asked_for_twice() {
    // The server takes the request on the kept connection and is gone before it answers.
    let scripts =
        || vec![vec![answer("200 OK", "", "one"), String::new()], vec![answer("200 OK", "", "two")]];
    let server = Server::start(scripts());
    block_on(async {
        let client = HttpClient::new(&server.url).unwrap();
        client.get("").send().await.unwrap();
        assert_eq!(client.get("").send().await.unwrap().text(), "two", "asking again changes nothing");
    });
    assert_eq!(server.finish().len(), 3);

    let mut scripts = scripts();
    scripts.pop();
    let server = Server::start(scripts);
    let error = block_on(async {
        let client = HttpClient::new(&server.url).unwrap();
        client.get("").send().await.unwrap();
        client.post("").json(&1).send().await.unwrap_err()
    });
    assert_eq!(error.category, ErrorCategory::TransientNetwork, "{error}");
    assert_eq!(server.finish().len(), 2, "a second POST would have been refused");
}
