//! A proxy that counts the HTTP requests which go through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What ends the first line of a request.
const MARK: &[u8] = b" HTTP/1.1\r\n";

pub(crate) struct Counting {
    /// Host and port.
    pub(crate) host: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Counting {
    /// In front of the server at this host and port.
    pub(crate) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("an address").to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let (server, counted) = (server.to_owned(), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), Arc::clone(&counted)));
            }
        });
        Self {
            host,
            requests,
            task,
        }
    }

    /// How many there were.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, server: String, requests: Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async move {
        let (mut buffer, mut tail) = (vec![0; 64 << 10], Vec::new());
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            tail.extend_from_slice(&buffer[..count]);
            requests.fetch_add(
                memchr::memmem::find_iter(&tail, MARK).count(),
                Ordering::Relaxed,
            );
            // What may be the beginning of a mark.
            let keep = tail.len().saturating_sub(MARK.len() - 1);
            tail.drain(..keep);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let down = async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}
