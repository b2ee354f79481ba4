//! A registry of our own that keeps lists of referrers, which Debian's does not.
//!
//! Blobs, manifests and `/v2/<name>/referrers/<digest>`, in memory; one request per connection. It holds to the distribution
//! specification 1.1 as far as our client uses it: uploads in one request, the header `OCI-Subject`, lists with the type and
//! the annotations of the artifact.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use oci_format::{Descriptor, Digest, ImageIndex, ImageManifest};
use spacktainers::registry::referrer_descriptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
    /// Lists that are still to be answered without what was just added.
    late: usize,
}

pub(crate) struct ListingServer {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl ListingServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { drop(serve(client, &state).await) });
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// The names under which manifests were put: tags and digests.
    pub(crate) fn manifests(&self) -> Vec<String> {
        let state = self.state.lock().expect("no panic");
        state.manifests.keys().cloned().collect()
    }

    /// Answers the next `count` lists with nothing.
    pub(crate) fn lag(&self, count: usize) {
        self.state.lock().expect("no panic").late = count;
    }
}

impl Drop for ListingServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let mut body = bytes.split_off(head_end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    while body.len() < length.unwrap_or(0) && client.read_buf(&mut body).await? > 0 {}
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let (status, more, answer) = {
        let mut state = state.lock().expect("no panic");
        answer(&mut state, method, path, body)
    };
    let text = format!(
        "HTTP/1.1 {status} Told\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    client.write_all(text.as_bytes()).await?;
    if method != "HEAD" {
        client.write_all(&answer).await?;
    }
    client.shutdown().await
}

fn answer(state: &mut State, method: &str, path: &str, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let nothing = |status: u16| (status, String::new(), Vec::new());
    let path = path.split_once("/v2/team/thing/").map_or("", |it| it.1);
    if method == "POST" {
        let location = "Location: /v2/team/thing/upload\r\n".to_owned();
        return (202, location, Vec::new());
    }
    if let Some(digest) = path.strip_prefix("upload?digest=") {
        let digest = digest.replace("%3A", ":");
        let status = if Digest::of(&body).to_string() == digest {
            state.blobs.insert(digest, body);
            201
        } else {
            400
        };
        return nothing(status);
    }
    if let Some(digest) = path.strip_prefix("blobs/") {
        return match state.blobs.get(digest) {
            Some(blob) => (200, String::new(), blob.clone()),
            None => nothing(404),
        };
    }
    if let Some(name) = path.strip_prefix("manifests/") {
        if method != "PUT" {
            return match state.manifests.get(name) {
                Some(manifest) => (200, String::new(), manifest.clone()),
                None => nothing(404),
            };
        }
        let mut told = String::new();
        if let Ok(manifest) = ImageManifest::parse(&body)
            && let Some(subject) = &manifest.subject
        {
            told = format!("OCI-Subject: {}\r\n", subject.digest);
            let list = state.referrers.entry(subject.digest).or_default();
            list.push(referrer_descriptor(&manifest, &body));
        }
        state.manifests.insert(name.to_owned(), body);
        return (201, told, Vec::new());
    }
    match path.strip_prefix("referrers/").map(str::parse::<Digest>) {
        Some(Ok(subject)) => {
            let mut list = state.referrers.get(&subject).cloned().unwrap_or_default();
            if state.late > 0 {
                state.late -= 1;
                list.clear();
            }
            (200, String::new(), ImageIndex::new(list).to_json())
        }
        _ => nothing(404),
    }
}
