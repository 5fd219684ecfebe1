//! nginx with the same TLS settings as the gateway: TLS 1.3, both sides with certificates of the
//! same scheme, the same revocation lists. It answers every POST with the same 600 bytes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ecaf::cli::sandbox::World;

use super::machine;

/// A running nginx; dropping it ends it.
pub struct Nginx {
    master: Child,
    pub address: SocketAddr,
    pub version: String,
}

impl Nginx {
    /// Starts it with the certificates of `world`; `None` if this machine has no nginx.
    pub fn start(world: &World) -> Result<Option<Self>, String> {
        let Ok(version) = Command::new("nginx").arg("-v").output() else { return Ok(None) };
        let version =
            String::from_utf8_lossy(&version.stderr).trim().replace("nginx version: ", "");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
        let address = free.map_err(|e| e.to_string())?;
        let folder = world.folder().join("nginx");
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        trust(world.folder(), &folder).map_err(|e| format!("nginx: {e}"))?;
        let config = folder.join("nginx.conf");
        fs::write(&config, text(world.folder(), &folder, address)).map_err(|e| e.to_string())?;
        let log = fs::File::create(folder.join("log")).map_err(|e| e.to_string())?;
        let master = Command::new("nginx")
            .args(["-p".as_ref(), folder.as_os_str(), "-c".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut nginx = Self { master, address, version };
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until || nginx.master.try_wait().is_ok_and(|s| s.is_some()) {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(format!("nginx does not listen: {}", log.trim()));
            }
            #[allow(clippy::disallowed_methods, reason = "another process can only be polled")]
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(nginx))
    }

    /// Master and workers.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = machine::children(self.master.id());
        pids.push(self.master.id());
        pids
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its own signal for an orderly end, so that the workers go too.
        let pid = self.master.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.master.wait();
    }
}

/// Root and issuing CA, and their revocation lists, in one file each.
fn trust(world: &Path, folder: &Path) -> std::io::Result<()> {
    let scheme = world.join("scheme");
    let mut cas = fs::read(scheme.join("root.crt"))?;
    cas.extend(fs::read(scheme.join("issuing.crt"))?);
    fs::write(folder.join("ca.crt"), cas)?;
    let mut lists = Vec::new();
    for entry in fs::read_dir(scheme.join("crl"))? {
        lists.extend(fs::read(entry?.path())?);
    }
    fs::write(folder.join("crl.pem"), lists)
}

fn text(world: &Path, folder: &Path, address: SocketAddr) -> String {
    let (gateway, folder) = (world.join("gateway"), folder.display());
    let answer = "x".repeat(600);
    format!(
        r#"daemon off;
worker_processes 2;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 75;
  keepalive_requests 1000000000;
  client_max_body_size 1m;
  client_body_buffer_size 16k;
  large_client_header_buffers 4 16k;
  default_type application/json;
  server {{
    listen {address} ssl backlog=4096;
    server_name localhost;
    ssl_certificate {tls}.crt;
    ssl_certificate_key {tls}.key;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519;
    ssl_client_certificate {folder}/ca.crt;
    ssl_crl {folder}/crl.pem;
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_session_tickets off;
    location / {{ return 200 "{answer}"; }}
  }}
}}
"#,
        tls = gateway.join("tls").display(),
    )
}
