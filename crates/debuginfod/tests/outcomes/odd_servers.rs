//! Servers, proxies and URLs that are seldom met.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use necropsy_debuginfod::{Failure, Miss, Settings, What};

use crate::lab::{Lab, elf, failure, id, one, path};
use crate::symbol_server::{Play, SymbolServer};

/// A response with this head and this body.
fn raw(head: &str, body: &[u8]) -> Play {
    Play::Raw([head.as_bytes(), b"\r\n\r\n", body].concat())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn a_body_that_a_proxy_packed() {
    let (lab, packed) = (Lab::new(), gzip(&elf(&id(1))));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}", packed.len());
    let server = one(raw(&head, &packed));
    let found = lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo).unwrap();
    assert_eq!(fs::read(found.path).unwrap(), elf(&id(1)));
    assert!(server.asked()[0].headers["accept-encoding"].contains("gzip"));

    // A file of zeros packs to a thousandth: what is counted is what comes out.
    let lab = Lab::new();
    let bomb = gzip(&vec![0; 64 << 20]);
    let server =
        one(raw(&format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}", bomb.len()), &bomb));
    let few = necropsy_debuginfod::Client::new(Settings { max_file: Some(1 << 20), ..lab.settings(&[server.url("")]) });
    assert!(matches!(few.fetch(&id(1), &What::DebugInfo), Err(Miss::TooLarge { .. })));
    assert_eq!(lab.files(), []);

    // Damaged in the middle.
    let lab = Lab::new();
    let mut damaged = gzip(&elf(&id(1)));
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    let server =
        one(raw(&format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}", damaged.len()), &damaged));
    assert!(lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo).is_err());
    assert_eq!(lab.files(), []);
}

#[test]
fn a_server_of_http_1_0_ends_its_body_with_the_connection() {
    let lab = Lab::new();
    let server = one(raw("HTTP/1.0 200 OK", &elf(&id(1))));
    let found = lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo).unwrap();
    assert_eq!(fs::read(found.path).unwrap(), elf(&id(1)));
}

#[test]
fn a_file_that_is_cut_is_discarded_though_its_build_id_is_right() {
    // Nothing of HTTP tells: the length is that of what was sent, or none is stated.
    let whole = elf(&id(1));
    let cut = &whole[..whole.len() - 100];
    for head in [format!("HTTP/1.1 200 OK\r\nContent-Length: {}", cut.len()), "HTTP/1.0 200 OK".to_owned()] {
        let lab = Lab::new();
        let server = one(raw(&head, cut));
        let told = failure(lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo));
        assert!(matches!(told, Failure::Malformed(_)), "{told:?}");
        assert_eq!(lab.files(), []);
    }
    // The server itself says how large the file is.
    let lab = Lab::new();
    let server = one(raw(&format!("HTTP/1.0 200 OK\r\nX-DEBUGINFOD-SIZE: {}", whole.len() + 1), &whole));
    let told = failure(lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo));
    assert_eq!(told, Failure::BrokeOff(whole.len() as u64));
    // Cut files in a cache that others fill are not used either.
    let lab = Lab::new();
    let file = lab.shared().join(id(1).to_string()).join("debuginfo");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, cut).unwrap();
    assert_eq!(lab.client(&[]).cached(&id(1), &What::DebugInfo), None);
}

#[test]
fn wrong_lengths() {
    let whole = elf(&id(1));
    // Too long: the rest never comes, the connection ends.
    let lab = Lab::new();
    let server = one(raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", whole.len() + 10), &whole));
    let told = failure(lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo));
    assert_eq!(told, Failure::BrokeOff(whole.len() as u64));
    // No number, or one that no file has.
    for length in ["-1", "many", "99999999999999999999"] {
        let lab = Lab::new();
        let server = one(raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}"), &whole));
        let outcome = lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo);
        assert!(outcome.is_err(), "{length}: {outcome:?}");
        assert_eq!(lab.files(), [], "{length}");
    }
}

#[test]
fn what_is_no_http_at_all() {
    let noise = vec![0xff; 100_000];
    for answer in [&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..], b"", b"HTTP/1.1 abc\r\n\r\n", &noise] {
        let lab = Lab::new();
        let server = one(Play::Raw(answer.to_vec()));
        let outcome = lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo);
        assert!(matches!(outcome, Err(Miss::Failed(_))), "{outcome:?}");
        assert_eq!(lab.files(), []);
    }
}

#[test]
fn a_server_that_sends_drop_by_drop_is_left_alone_like_a_silent_one() {
    // Never silent for long enough to be noticed by that: in the head, and in a body.
    let body = Play::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n".to_vec(), vec![0x7f]);
    let bytes = |failure| matches!(failure, Failure::Stalled(1..));
    let head = Play::Drip(b"HTTP/1.1 200 OK\r\nX-Name: ".to_vec(), vec![b'a']);
    let silent = |failure| matches!(failure, Failure::Silent(_));
    for (play, told) in [(body, &bytes as &dyn Fn(Failure) -> bool), (head, &silent)] {
        let lab = Lab::new();
        let server = SymbolServer::start([], play);
        // An hour: the end of the budget is not what ends this.
        let settings = Settings { budget: Duration::from_hours(1), ..lab.settings(&[server.url("")]) };
        let client = necropsy_debuginfod::Client::new(settings);
        let first = failure(client.fetch(&id(1), &What::DebugInfo));
        assert!(told(first.clone()), "{first:?}");
        assert_eq!(failure(client.fetch(&id(2), &What::DebugInfo)), Failure::LeftAlone);
        assert_eq!((server.connections(), lab.files()), (1, vec![]));
    }
}

#[test]
fn a_head_without_end() {
    let lab = Lab::new();
    let line = b"X-Name: value\r\n".repeat(100_000);
    let server = one(Play::Raw([&b"HTTP/1.1 200 OK\r\n"[..], &line].concat()));
    let outcome = lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo);
    assert!(matches!(outcome, Err(Miss::Failed(_))), "{outcome:?}");
}

#[test]
fn connections_that_end_between_two_requests() {
    // It says that the connection goes on, and closes it: what is kept for the next request is dead.
    let whole = elf(&id(1));
    let head = format!("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: {}", whole.len());
    let plays = [
        (path(&id(1), "debuginfo"), raw(&head, &whole)),
        (path(&id(1), "executable"), raw(&head, &whole)),
        (path(&id(2), "debuginfo"), Play::Serve(elf(&id(2)))),
    ];
    let lab = Lab::new();
    let server = SymbolServer::start(plays, Play::Status(404));
    let client = lab.client(&[server.url("")]);
    for (build, what) in [(1, What::DebugInfo), (1, What::Executable), (2, What::DebugInfo)] {
        let found = client.fetch(&id(build), &what);
        assert!(found.is_ok(), "{found:?}");
    }
}

#[test]
fn chunks_that_end_too_early() {
    let whole = elf(&id(1));
    let chunk = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", whole.len());
    for end in [&b""[..], b"\r\n", b"\r\nzz\r\n", b"\r\nffffffffffffffffff\r\n"] {
        let lab = Lab::new();
        let server = one(Play::Raw([chunk.as_bytes(), &whole, end].concat()));
        let outcome = lab.client(&[server.url("")]).fetch(&id(1), &What::DebugInfo);
        assert!(matches!(outcome, Err(Miss::Failed(_))), "{end:?}: {outcome:?}");
        assert_eq!(lab.files(), [], "{end:?}");
    }
}

#[test]
fn redirects_between_two_servers_end_too() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = format!("http://{}", listener.local_addr().unwrap());
    let second = SymbolServer::start([], Play::Redirect(format!("{first}/a")));
    let first = SymbolServer::on(listener, [], Play::Redirect(second.url("/b")));
    let told = failure(lab.client(&[first.url("")]).fetch(&id(1), &What::DebugInfo));
    assert!(matches!(told, Failure::Redirect(_)), "{told:?}");
    assert_eq!(first.asked().len() + second.asked().len(), 7);
    for target in ["", "http://", "http:///x", "gopher://h/", "http://[::", "\u{1}"] {
        let server = SymbolServer::start([], Play::Redirect(target.to_owned()));
        assert!(Lab::new().client(&[server.url("")]).fetch(&id(1), &What::DebugInfo).is_err(), "{target}");
    }
}

#[test]
fn an_address_of_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let server = SymbolServer::on(listener, [(path(&id(1), "debuginfo"), Play::Serve(elf(&id(1))))], Play::Status(404));
    assert!(server.url("").starts_with("http://[::1]:"));
    assert!(Lab::new().client(&[server.url("")]).fetch(&id(1), &What::DebugInfo).is_ok());
}

#[test]
fn user_and_password_of_a_url_go_to_that_server_and_into_no_report() {
    let store = SymbolServer::start([("/s".to_owned(), Play::Serve(elf(&id(1))))], Play::Status(404));
    let server = one(Play::Redirect(store.url("/s")));
    let lab = Lab::new();
    let url = server.url("").replace("http://", "http://ann:s%20ecret@");
    let found = lab.client(&[url]).fetch(&id(1), &What::DebugInfo).unwrap();
    // `ann:s ecret`
    assert_eq!(server.asked()[0].headers["authorization"], "Basic YW5uOnMgZWNyZXQ=");
    assert_eq!(store.asked()[0].headers.get("authorization"), None, "another host");
    assert!(!format!("{found:?}").contains("ecret"));
    let refused = SymbolServer::start([], Play::Status(403));
    let url = refused.url("").replace("http://", "http://ann:secret@");
    let told = Lab::new().client(&[url]).fetch(&id(1), &What::DebugInfo).unwrap_err().to_string();
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_url_with_spaces_in_it() {
    let below = format!("/our%20files{}", path(&id(1), "debuginfo"));
    let server = SymbolServer::start([(below.clone(), Play::Serve(elf(&id(1))))], Play::Status(404));
    assert!(Lab::new().client(&[server.url("/our files")]).fetch(&id(1), &What::DebugInfo).is_ok());
    assert_eq!(server.paths(), [below]);
}

/// What another process fetches whose environment names a proxy.
fn through_a_proxy(variables: &[(&str, String)], url: &str, lab: &Lab) -> std::process::Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["odd_servers::fetch_as_the_environment_says", "--exact", "--ignored", "--nocapture"]);
    command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    command.env("TEST_URL", url).env("TEST_CACHE", lab.shared()).output().unwrap()
}

#[test]
#[ignore = "run by the test of proxies, in a process with an environment of its own"]
fn fetch_as_the_environment_says() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let settings = Settings {
        shared_cache: Some(variable("TEST_CACHE").into()),
        urls: vec![variable("TEST_URL")],
        mode: necropsy_debuginfod::Use::Full,
        ..Settings::default()
    };
    necropsy_debuginfod::Client::new(settings).fetch(&id(1), &What::DebugInfo).unwrap();
}

#[test]
fn a_proxy_of_the_environment_is_for_the_outside() {
    let url = "http://debuginfod.example";
    let asked = format!("{url}{}", path(&id(1), "debuginfo"));
    // A proxy is asked for the whole URL, or for a way to the host.
    let plays = [(asked, Play::Serve(elf(&id(1)))), (path(&id(1), "debuginfo"), Play::Serve(elf(&id(1))))];
    let proxy = SymbolServer::start(plays.clone(), raw("HTTP/1.1 200 Connection established", b""));
    let lab = Lab::new();
    let output = through_a_proxy(&[("http_proxy", proxy.url(""))], url, &lab);
    assert!(!proxy.asked().is_empty(), "{output:?}");
    // https is asked through CONNECT, and nothing else is told to the proxy.
    let proxy = SymbolServer::start([], Play::Status(502));
    through_a_proxy(&[("HTTPS_PROXY", proxy.url(""))], "https://debuginfod.example", &Lab::new());
    assert_eq!(proxy.paths(), ["debuginfod.example:443"]);
    // What is on this machine, and what `NO_PROXY` names, is asked directly.
    let server = SymbolServer::start(plays, Play::Status(404));
    let silent = SymbolServer::start([], Play::Status(502));
    for variables in
        [&[("http_proxy", silent.url("")), ("HTTP_PROXY", silent.url(""))][..], &[("ALL_PROXY", silent.url(""))]]
    {
        let output = through_a_proxy(variables, &server.url(""), &Lab::new());
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(silent.connections(), 0);
}
