//! A server with a certificate of somebody's own authority, played by openssl.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::elsewhere::{Elsewhere, case, fetched, pair, wait};

/// `openssl s_server -WWW` serves the files of a directory; it ends with the test.
struct Openssl(Child);

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(folder: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// An authority and a certificate of it for `localhost`; false where there is no openssl.
fn certificates(folder: &Path) -> bool {
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req -x509 {key} -keyout authority.key -out authority.pem -days 2 -subj /CN=authority"))
        && openssl(folder, &format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"))
        && openssl(
            folder,
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -out server.pem -days 2 \
             -extfile names",
        )
}

#[test]
fn a_certificate_of_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        eprintln!("skipped: there is no openssl that makes certificates (apt-get install openssl)");
        return;
    }
    let staged = case("symbol-server");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("openssl");
    command.current_dir(staged.folder().join("server")).args(["s_server", "-WWW", "-quiet", "-accept"]);
    command.arg(port.to_string()).arg("-cert").arg(folder.path().join("server.pem"));
    command.arg("-key").arg(folder.path().join("server.key"));
    let _server = Openssl(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait(|| TcpStream::connect(("127.0.0.1", port)).is_ok());

    let url = format!("https://localhost:{port}");
    let strangers = Elsewhere::new(&staged).json(&url, &[]).to_string();
    assert!(strangers.contains("invalid peer certificate") && strangers.contains("SSL_CERT_FILE"), "{strangers}");

    let elsewhere = Elsewhere::new(&staged);
    let mut command = elsewhere.command(&url);
    command.env("SSL_CERT_FILE", folder.path().join("authority.pem")).arg("--json");
    let known = crate::elsewhere::report(&command.output().unwrap());
    for module in ["report", "libledger.so"] {
        let outcomes = fetched(&known, module);
        assert_eq!(outcomes, [pair("debug file", "fetched"), pair("executable", "fetched")], "{module}");
    }
}
