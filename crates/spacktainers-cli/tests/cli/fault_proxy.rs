//! Proxies in front of servers that count what passes, and kill the program that they serve after so many requests.
//!
//! ```text
//! program ─► Proxy ─► registry        one counter for all proxies: the kill comes after the answer of the server, and
//!         └► Proxy ─► bucket          before the program hears of it
//! ```
//!
//! One request per connection; bodies have a `Content-Length`, as ours do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

/// What passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) status: u16,
    /// The server behind the proxy.
    pub(crate) upstream: String,
}

#[derive(Default)]
struct State {
    passed: Vec<Passed>,
    /// Requests until the kill.
    left: Option<usize>,
    victim: Option<Child>,
}

/// What several proxies have in common.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    state: Arc<Mutex<State>>,
}

impl Faults {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    /// Runs `command` and kills it after `requests` of them; says whether it ended by itself.
    pub(crate) fn run_killed(&self, command: &mut Command, requests: usize) -> bool {
        {
            // Held while it starts: no request is earlier than the child.
            let mut state = self.lock();
            state.passed.clear();
            state.left = Some(requests);
            state.victim = Some(command.spawn().expect("starts"));
        }
        loop {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let mut state = self.lock();
            let victim = state.victim.as_mut().expect("started");
            if let Some(status) = victim.try_wait().expect("a child") {
                state.victim = None;
                state.left = None;
                return status.code().is_some();
            }
        }
    }

    /// What passed since the last call.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        std::mem::take(&mut self.lock().passed)
    }

    /// A proxy before `upstream`; gives its address. It runs until the test ends.
    pub(crate) fn before(&self, upstream: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (faults, upstream) = (self.clone(), upstream.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (faults, upstream) = (faults.clone(), upstream.clone());
                // A connection that breaks is part of the play.
                std::thread::spawn(move || drop(faults.serve(client, &upstream)));
            }
        });
        address
    }

    fn serve(&self, mut client: TcpStream, upstream: &str) -> std::io::Result<()> {
        let (head, mut body) = read_head(&mut client)?;
        let length = header(&head, "content-length").and_then(|it| it.parse().ok());
        let missing = length.unwrap_or(0usize).saturating_sub(body.len());
        (&mut client).take(missing as u64).read_to_end(&mut body)?;
        let mut words = head.split(' ').map(str::to_owned);
        let mut passed = Passed {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            status: 0,
            upstream: upstream.to_owned(),
        };
        let lines = head.trim_end().split("\r\n");
        let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let request = kept.collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
        let mut server = TcpStream::connect(upstream)?;
        server.write_all(request.as_bytes())?;
        server.write_all(&body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer);
        passed.status = text
            .split(' ')
            .nth(1)
            .and_then(|it| it.parse().ok())
            .unwrap_or(0);
        let mut state = self.lock();
        state.passed.push(passed);
        if let Some(left) = &mut state.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                if let Some(victim) = &mut state.victim {
                    victim.kill()?;
                }
                return Ok(());
            }
        }
        drop(state);
        client.write_all(&answer)
    }
}

/// Up to and with the empty line, and what was read beyond it.
fn read_head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A header of a request or an answer.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What a server answers a plain request: status, head, body.
pub(crate) fn ask(address: &str, method: &str, path: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("connects");
    let accept =
        "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    )
    .expect("asks");
    let (head, mut body) = read_head(&mut stream).expect("answers");
    stream.read_to_end(&mut body).expect("answers");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.unwrap_or(0), head, body)
}
