//! The listener with TLS. Certificates are openssl's, and the client is curl.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;

use super::bed;
use super::logged::Logged;
use super::refused::refused;
use super::support::Bed;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Makes NAME.crt and NAME.key, for 127.0.0.1.
fn certificate(bed: &Bed, name: &str, key: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "2", "-subj"]);
    command.arg(format!("/CN={name}"));
    command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-newkey"]);
    command.args(key);
    command.arg("-keyout").arg(bed.path(&format!("{name}.key")));
    command.arg("-out").arg(bed.path(&format!("{name}.crt")));
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The arguments of a server with TLS on a port of all addresses.
fn arguments(bed: &Bed, chain: &str, key: &str) -> Vec<String> {
    let token = bed.path("token");
    fs::write(&token, TOKEN).unwrap();
    set_mode(&token, 0o600);
    let file = |name: &str| bed.path(name).display().to_string();
    let words = [
        "--metrics",
        "0.0.0.0:0",
        "--metrics-token",
        &file("token"),
        "--metrics-cert",
        &file(chain),
        "--metrics-key",
        &file(key),
    ];
    words.map(str::to_owned).to_vec()
}

fn start(bed: &Bed, name: &str) -> (Logged, String) {
    let arguments = arguments(bed, &format!("{name}.crt"), &format!("{name}.key"));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Logged::start(bed, &words);
    let url = server.wait("metrics are at https://");
    let port = url.trim_end_matches("/metrics").rsplit(':').next().unwrap();
    (server, format!("127.0.0.1:{port}"))
}

/// Asks for metrics with curl, which trusts NAME.crt.
fn curl(bed: &Bed, name: &str, url: &str, more: &[&str]) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
        .arg("--cacert")
        .arg(bed.path(&format!("{name}.crt")))
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(more)
        .arg(url)
        .output()
        .unwrap()
}

fn has_metrics(bed: &Bed, name: &str, url: &str, more: &[&str]) {
    let output = curl(bed, name, url, more);
    let body = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && body.ends_with("# EOF\n"),
        "{more:?}: {stderr} {body}"
    );
}

#[test]
fn other_hosts_are_served_with_tls() {
    let bed = bed();
    certificate(&bed, "one", P256);
    certificate(&bed, "two", &["rsa:2048"]);
    let (server, address) = start(&bed, "one");
    let url = format!("https://{address}/metrics");
    for version in [
        &["--tlsv1.3"][..],
        &["--tlsv1.2", "--tls-max", "1.2"],
        &["--http2"],
    ] {
        has_metrics(&bed, "one", &url, version);
    }
    // Who trusts others or speaks something old gets nothing.
    for (more, name) in [(&[][..], "two"), (&["--tls-max", "1.1"], "one")] {
        let output = curl(&bed, name, &url, more);
        assert!(!output.status.success(), "{more:?} {name}");
        assert!(output.stdout.is_empty(), "{more:?} {name}");
    }

    // SIGHUP reads them anew; a key of another certificate changes nothing.
    fs::copy(bed.path("two.crt"), bed.path("one.crt")).unwrap();
    server.signal(Signal::HUP);
    server
        .wait("the key is not that of the certificate; the certificate that was read before stays");
    assert!(!curl(&bed, "two", &url, &[]).status.success());
    fs::copy(bed.path("two.key"), bed.path("one.key")).unwrap();
    server.signal(Signal::HUP);
    server.wait("one.crt anew");
    has_metrics(&bed, "two", &url, &[]);
    server.stop();
}

#[test]
fn clients_that_do_not_speak_tls_harm_nobody() {
    let bed = bed();
    certificate(&bed, "one", P256);
    let (server, address) = start(&bed, "one");
    let url = format!("https://{address}/metrics");
    // As many as may say nothing at once, but one.
    let silent: Vec<TcpStream> = (0..63)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    has_metrics(&bed, "one", &url, &[]);
    let answer = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let _ = stream.write_all(bytes);
        let mut said = Vec::new();
        // It ends, or breaks off, though this client does not.
        let _ = stream.read_to_end(&mut said);
        said
    };
    let plain =
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let garbage: Vec<u8> = (0..100_000_u32)
        .map(|n| n.to_le_bytes()[0] ^ 0x5a)
        .collect();
    // The head of a record of a handshake that never comes.
    let cut = [22, 3, 1, 0x40, 0, 1];
    for bytes in [plain.as_bytes(), &garbage, &cut, &[22; 70_000]] {
        let said = answer(bytes);
        // An alert at most.
        assert!(said.len() <= 7, "{said:?}");
    }
    let output = Command::new("curl")
        .args(["--silent", &format!("http://{address}/metrics")])
        .output()
        .unwrap();
    assert!(!output.status.success() && !output.stdout.starts_with(b"HTTP"));
    has_metrics(&bed, "one", &url, &[]);
    drop(silent);
    server.stop();
}

#[test]
fn what_tls_cannot_use_is_refused_at_the_start() {
    let bed = bed();
    certificate(&bed, "one", P256);
    certificate(&bed, "two", P256);
    certificate(&bed, "odd", &["ed25519"]);
    fs::write(bed.path("empty"), "").unwrap();
    fs::write(bed.path("cut"), "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    for (chain, key, said) in [
        (
            "one.crt",
            "two.key",
            "the key is not that of the certificate",
        ),
        ("none", "one.key", "cannot read the certificate /"),
        ("one.crt", "none", "cannot read the key /"),
        (
            "empty",
            "one.key",
            "empty does not hold a certificate in PEM",
        ),
        ("cut", "one.key", "cut does not hold a certificate in PEM"),
        (
            "one.crt",
            "one.crt",
            "one.crt does not hold a private key in PEM",
        ),
        ("odd.crt", "odd.key", "the key is neither RSA nor ECDSA"),
    ] {
        refused(&bed, &arguments(&bed, chain, key), said);
    }
    let good = arguments(&bed, "one.crt", "one.key");
    refused(&bed, &good[..4], "--metrics-cert");
    refused(&bed, &good[..6], "--metrics-key");
    refused(&bed, &good[4..], "--metrics");
    set_mode(&bed.path("one.key"), 0o644);
    refused(&bed, &good, "chmod o= ");
}
