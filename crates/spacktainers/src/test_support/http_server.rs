//! A small HTTP server that serves objects from memory and misbehaves on demand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oci_format::Digest;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nothing: this request is answered as it should be.
    None,
    /// Another status than 200.
    Status(u16),
    /// A status, and the seconds to wait.
    RetryAfter(u16, u64),
    /// A status and a body.
    Page(u16, &'static str),
    /// 302 to another URL.
    Redirect(String),
    /// The connection is closed after so many bytes of the body.
    CloseAfter(usize),
    /// The same, and the object is another one from then on.
    ReplaceAfter(usize),
    /// `Content-Length` is so much too large, and the connection closed at the end.
    PromiseMore(usize),
    /// No answer.
    Silence,
    /// Nothing more after so many bytes of the body.
    SilenceAfter(usize),
    /// The body is sent in small pieces with a pause between them: milliseconds.
    Slow(u64),
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Vec<u8>>,
    faults: VecDeque<Fault>,
    requests: usize,
    sent: usize,
    refuses_ranges: bool,
    denies_what_is_absent: bool,
    hides_length: bool,
}

/// A server on a free port of the loopback device, as long as the value lives.
pub(crate) struct HttpServer {
    url: Url,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl HttpServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    // A client that goes away is no concern of ours.
                    let _ = serve(stream, &state).await;
                });
            }
        });
        let url = format!("http://127.0.0.1:{port}/").parse().expect("a URL");
        Self { url, state, task }
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.lock().objects.insert(key.to_owned(), bytes.to_vec());
    }

    pub(crate) fn refuse_ranges(&self) {
        self.lock().refuses_ranges = true;
    }

    pub(crate) fn remove(&self, key: &str) {
        self.lock().objects.remove(key);
    }

    /// Answers 403 instead of 404.
    pub(crate) fn deny_what_is_absent(&self) {
        self.lock().denies_what_is_absent = true;
    }

    /// Sends objects without their length; closing the connection is their end.
    pub(crate) fn hide_length(&self) {
        self.lock().hides_length = true;
    }

    /// What happens to the next requests, in this order; counts requests and bytes from here.
    pub(crate) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.lock();
        state.faults = faults.into_iter().collect();
        state.requests = 0;
        state.sent = 0;
    }

    pub(crate) fn requests(&self) -> usize {
        self.lock().requests
    }

    /// Bytes of bodies that were written so far.
    pub(crate) fn sent(&self) -> usize {
        self.lock().sent
    }

    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut key = None;
        let mut range = None;
        let mut if_range = None;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if key.is_none() {
                key = line.split(' ').nth(1).map(decode);
            } else if let Some(value) = lower.strip_prefix("range: bytes=") {
                range = value.trim_end_matches('-').parse::<usize>().ok();
            } else if let Some(value) = lower.strip_prefix("if-range: ") {
                if_range = Some(value.to_owned());
            }
        }
        let key = key.unwrap_or_default();
        let (fault, object, refuses_ranges, absent, hides_length) = {
            let mut state = state.lock().expect("no panic while held");
            state.requests += 1;
            let object = state.objects.get(key.trim_start_matches('/')).cloned();
            let absent = if state.denies_what_is_absent {
                403
            } else {
                404
            };
            let fault = state.faults.pop_front();
            (
                fault,
                object,
                state.refuses_ranges,
                absent,
                state.hides_length,
            )
        };
        if let Some(answer) = instead_of_the_object(fault.as_ref()).await {
            stream.write_all(answer.as_bytes()).await?;
            continue;
        }
        let Some(object) = object else {
            let answer = format!("HTTP/1.1 {absent} Absent\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await?;
            continue;
        };
        let tag = format!("\"{}\"", &Digest::of(&object).hex()[..16]);
        let from = range.filter(|_| !refuses_ranges && if_range.is_none_or(|it| it == tag));
        let (head, body) = match from {
            Some(from) if from >= object.len() => {
                let answer = "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).await?;
                continue;
            }
            Some(from) => {
                let (last, total) = (object.len() - 1, object.len());
                let range = format!("content-range: bytes {from}-{last}/{total}\r\n");
                (format!("206 Partial Content\r\n{range}"), &object[from..])
            }
            None => ("200 OK\r\n".to_owned(), &object[..]),
        };
        let promised = match fault {
            Some(Fault::PromiseMore(more)) => body.len() + more,
            _ => body.len(),
        };
        let length = if hides_length {
            "connection: close\r\n".to_owned()
        } else {
            format!("content-length: {promised}\r\n")
        };
        let head = format!("HTTP/1.1 {head}etag: {tag}\r\n{length}\r\n");
        stream.write_all(head.as_bytes()).await?;
        let count = |bytes: usize| state.lock().expect("no panic while held").sent += bytes;
        match fault {
            Some(Fault::CloseAfter(bytes)) => {
                stream.write_all(&body[..bytes.min(body.len())]).await?;
                count(bytes);
                stream.flush().await?;
                return stream.shutdown().await;
            }
            Some(Fault::ReplaceAfter(bytes)) => {
                let other = object.iter().map(|byte| !byte).collect();
                state
                    .lock()
                    .expect("no panic while held")
                    .objects
                    .insert(key.trim_start_matches('/').to_owned(), other);
                stream.write_all(&body[..bytes.min(body.len())]).await?;
                return stream.shutdown().await;
            }
            Some(Fault::SilenceAfter(bytes)) => {
                stream.write_all(&body[..bytes.min(body.len())]).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            Some(Fault::Slow(pause)) => {
                for piece in body.chunks(body.len().div_ceil(20).max(1)) {
                    stream.write_all(piece).await?;
                    stream.flush().await?;
                    count(piece.len());
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
            _ => {
                stream.write_all(body).await?;
                count(body.len());
            }
        }
        if promised != body.len() || hides_length {
            return stream.shutdown().await;
        }
        stream.flush().await?;
    }
}

/// The whole answer, for faults that leave the object out.
async fn instead_of_the_object(fault: Option<&Fault>) -> Option<String> {
    let answer = |status: u16, more: &str, body: &str| {
        let length = body.len();
        Some(format!(
            "HTTP/1.1 {status} X\r\n{more}content-length: {length}\r\n\r\n{body}"
        ))
    };
    match fault? {
        Fault::Status(status) => answer(*status, "", "trouble"),
        Fault::RetryAfter(status, seconds) => {
            answer(*status, &format!("retry-after: {seconds}\r\n"), "")
        }
        Fault::Page(status, body) => answer(*status, "", body),
        Fault::Redirect(url) => answer(302, &format!("location: {url}\r\n"), ""),
        Fault::Silence => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            None
        }
        _ => None,
    }
}

fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::new();
    let mut index = 0;
    while index < bytes.len() {
        let escaped = (bytes[index] == b'%')
            .then(|| path.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(bytes[index]));
        index += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
