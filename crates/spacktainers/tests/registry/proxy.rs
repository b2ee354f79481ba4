//! A proxy before a registry: it writes down what is asked, and fails as it is told.
//!
//! One request per connection; bodies have a `Content-Length`, as ours do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the proxy saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// Status of the answer; 0 where there was none.
    pub(crate) status: u16,
    /// Bytes of the request's body as announced.
    pub(crate) body: u64,
    /// Headers of the request, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What to do instead of passing a request on.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers itself, after having read the body.
    Answer(u16, &'static str, Vec<u8>),
    /// Closes both connections after so many bytes of the request's body.
    BreakRequest(u64),
    /// Closes the client's connection after so many bytes of the answer's body.
    CutAnswer(usize),
    /// Passes it on and keeps the answer to itself.
    LoseAnswer,
    /// Passes it on without its query.
    DropQuery,
    /// Passes it on: for rules that count.
    Pass,
    /// Never answers.
    Hang,
}

/// An act for the next `times` requests of a kind.
struct Rule {
    method: &'static str,
    part: String,
    times: usize,
    act: Act,
}

/// The proxy; it ends with this value.
pub(crate) struct Proxy {
    /// `127.0.0.1:<port>`
    pub(crate) address: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    upstream: String,
    seen: Mutex<Vec<Seen>>,
    rules: Mutex<Vec<Rule>>,
    token: Mutex<Option<Gate>>,
}

/// Lets nobody in without this token, and tells where to get it.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) token: String,
    pub(crate) challenge: String,
}

impl Proxy {
    pub(crate) async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            seen: Mutex::default(),
            rules: Mutex::default(),
            token: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // A connection that breaks is part of the play.
                tokio::spawn(async move { drop(serve(client, &state).await) });
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// Does `act` for the next `times` requests of this method whose path has `part` in it.
    pub(crate) fn on(&self, method: &'static str, part: &str, times: usize, act: Act) {
        let part = part.to_owned();
        let rule = Rule {
            method,
            part,
            times,
            act,
        };
        self.state.rules.lock().expect("no panic").push(rule);
    }

    pub(crate) fn gate(&self, gate: Option<Gate>) {
        *self.state.token.lock().expect("no panic") = gate;
    }

    pub(crate) fn forget_rules(&self) {
        self.state.rules.lock().expect("no panic").clear();
    }

    /// What was seen since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.seen.lock().expect("no panic"))
    }

    /// The same as `METHOD status` lines without paths, sorted: for counting.
    pub(crate) fn methods(&self) -> Vec<String> {
        let mut methods: Vec<String> = self
            .seen()
            .iter()
            .map(|it| format!("{} {}", it.method, it.status))
            .collect();
        methods.sort();
        methods
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads up to and with the empty line; what was read beyond it is the second value.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

async fn serve(mut client: TcpStream, state: &State) -> std::io::Result<()> {
    let (head, rest) = read_head(&mut client).await?;
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let path = first.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut seen = Seen {
        method,
        path,
        status: 0,
        body: 0,
        headers,
    };
    seen.body = seen
        .header("content-length")
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    let index = {
        let mut log = state.seen.lock().expect("no panic");
        log.push(seen.clone());
        log.len() - 1
    };
    let note = |status: u16| {
        if let Some(entry) = state.seen.lock().expect("no panic").get_mut(index) {
            entry.status = status;
        }
    };
    let act = refuse(state, &seen).or_else(|| act(state, &seen));
    match act {
        Some(Act::Answer(status, headers, body)) => {
            drain(&mut client, seen.body - rest.len() as u64).await?;
            note(status);
            let head = format!(
                "HTTP/1.1 {status} Told\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            client.write_all(head.as_bytes()).await?;
            if seen.method != "HEAD" {
                client.write_all(&body).await?;
            }
            client.shutdown().await
        }
        Some(Act::Hang) => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(())
        }
        act => {
            // Written down before the client hears of it, so that a test that waits for the answer
            // finds it in the log.
            forward(&mut client, rest, &seen, state, act, note).await
        }
    }
}

fn refuse(state: &State, seen: &Seen) -> Option<Act> {
    let gate = state.token.lock().expect("no panic").clone()?;
    if seen.path.starts_with("/token")
        || seen.header("authorization") == Some(&format!("Bearer {}", gate.token))
    {
        return None;
    }
    let header = format!("WWW-Authenticate: {}\r\n", gate.challenge);
    Some(Act::Answer(401, header.leak(), Vec::new()))
}

fn act(state: &State, seen: &Seen) -> Option<Act> {
    let mut rules = state.rules.lock().expect("no panic");
    let rule = rules.iter_mut().find(|rule| {
        rule.times > 0 && rule.method == seen.method && seen.path.contains(&rule.part)
    })?;
    rule.times -= 1;
    Some(rule.act.clone())
}

async fn drain(client: &mut TcpStream, mut left: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let count = client.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

async fn forward(
    client: &mut TcpStream,
    rest: Vec<u8>,
    seen: &Seen,
    state: &State,
    act: Option<Act>,
    note: impl Fn(u16),
) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(&state.upstream).await?;
    let path = match act {
        Some(Act::DropQuery) => seen.path.split('?').next().unwrap_or_default(),
        _ => &seen.path,
    };
    let mut head = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", seen.method);
    // The registry builds addresses from `Host`: they lead through the proxy again.
    for (name, value) in seen.headers.iter().filter(|(name, _)| name != "connection") {
        // The gate is ours; the registry behind it knows nothing of tokens.
        if name != "authorization" || !value.starts_with("Bearer") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    upstream.write_all(head.as_bytes()).await?;
    let limit = match act {
        Some(Act::BreakRequest(limit)) => limit.min(seen.body),
        _ => seen.body,
    };
    let mut piece = rest;
    let mut sent = 0;
    loop {
        let take = usize::try_from(limit - sent)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        upstream.write_all(&piece[..take]).await?;
        sent += take as u64;
        if sent == limit {
            break;
        }
        piece.resize(64 << 10, 0);
        let count = client.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        piece.truncate(count);
    }
    if matches!(act, Some(Act::BreakRequest(_))) {
        // Gives the registry time to store what it was sent.
        upstream.shutdown().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        return Ok(());
    }
    let (head, body) = read_head(&mut upstream).await?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    note(status);
    if matches!(act, Some(Act::LoseAnswer)) {
        return Ok(());
    }
    client.write_all(head.as_bytes()).await?;
    if let Some(Act::CutAnswer(limit)) = act {
        let mut bytes = body;
        while bytes.len() < limit && upstream.read_buf(&mut bytes).await? > 0 {}
        client.write_all(&bytes[..limit.min(bytes.len())]).await?;
        client.shutdown().await?;
        return Ok(());
    }
    client.write_all(&body).await?;
    tokio::io::copy(&mut upstream, client).await?;
    client.shutdown().await
}
