//! A `docker-registry` on a free port of this machine, gone at the end.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::skipped;

pub(crate) struct DockerRegistry {
    child: Child,
    /// Host and port.
    pub(crate) host: String,
}

impl DockerRegistry {
    /// Serves the registry whose storage is the folder `data`; nothing, and a word about it, where the program is not
    /// installed.
    pub(crate) async fn serve(data: &Path, scratch: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let host = format!("127.0.0.1:{port}");
        let config = scratch.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{delete: {{enabled: true}}, filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"}}\n",
            data.display()
        );
        std::fs::write(&config, text).expect("writes");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            skipped("no docker-registry on PATH");
            return None;
        };
        let registry = Self { child, host };
        for _ in 0..200 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry does not answer");
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
