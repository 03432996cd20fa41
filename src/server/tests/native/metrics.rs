//! The metrics of a running server, over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use super::bed;
use super::logged::Logged;
use super::support::{Bed, brick};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Writes the token; gives the arguments of a server that serves metrics on `address`.
fn arguments(bed: &Bed, address: &str) -> [String; 4] {
    let path = bed.path("token");
    std::fs::write(&path, TOKEN).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = path.display().to_string();
    [
        "--metrics".into(),
        address.into(),
        "--metrics-token".into(),
        path,
    ]
}

fn start(bed: &Bed) -> (Logged, String) {
    let arguments = arguments(bed, "127.0.0.1:0");
    let server = Logged::start(bed, &arguments.each_ref().map(String::as_str));
    let address = server.wait("metrics are at http://");
    let address = address.trim_end_matches("/metrics").to_owned();
    (server, address)
}

/// Sends bytes, and gives all that comes back.
fn talk(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that has refused may have closed before it has read all.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

fn ask(address: &str, method: &str, path: &str, token: &str) -> String {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    talk(address, head.as_bytes())
}

#[test]
fn metrics_are_for_those_who_know_the_token() {
    let bed = bed();
    let (server, address) = start(&bed);
    let mut client = server.client();
    brick(client.call(&bed.init()));
    brick(client.call(&bed.attach(true)));

    let good = ask(&address, "GET", "/metrics", TOKEN);
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    let body = good.split("\r\n\r\n").nth(1).unwrap();
    let dir = bed.path("brick").canonicalize().unwrap();
    for line in [
        "# TYPE gluster_bd_brick_free_bytes gauge".to_owned(),
        "gluster_bd_pools_unreadable 0".to_owned(),
        format!(
            "gluster_bd_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        ),
    ] {
        assert!(body.lines().any(|other| other == line), "{line}: {body}");
    }
    assert!(
        body.contains(&format!("brick_size_bytes{{brick=\"{}\"", dir.display())),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
    // Each line is a comment or a name, labels and a number.
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("gluster_bd_") && value.parse::<f64>().is_ok(),
            "{line}"
        );
    }

    let head = ask(&address, "HEAD", "/metrics", TOKEN);
    assert!(
        head.starts_with("HTTP/1.1 200") && !head.contains("# TYPE"),
        "{head}"
    );
    let huge = format!(
        "GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    for (said, status) in [
        (ask(&address, "GET", "/metrics", "guess"), "401"),
        (ask(&address, "GET", "/metrics", &TOKEN[1..]), "401"),
        (
            talk(&address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
            "401",
        ),
        (ask(&address, "GET", "/", TOKEN), "404"),
        (ask(&address, "POST", "/metrics", TOKEN), "405"),
        (talk(&address, b"nonsense\r\n\r\n"), "400"),
        (talk(&address, huge.as_bytes()), "431"),
    ] {
        assert!(
            said.is_empty() || said.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {said}"
        );
        assert!(!said.contains("gluster_bd_"), "{said}");
    }

    // Clients that say nothing keep nobody out for long.
    let silent: Vec<TcpStream> = (0..8)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    assert!(ask(&address, "GET", "/metrics", TOKEN).starts_with("HTTP/1.1 200"));
    drop(silent);
    client.call(&bed.check()).unwrap();
    server.stop();
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    let bed = bed();
    let (server, address) = start(&bed);
    let refused = |args: &[String], said: &str| {
        let mut command = bed.command("sock2", "state2");
        let output = command.args(args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && stderr.contains(said),
            "{said}: {stderr}"
        );
    };
    let taken = arguments(&bed, &address);
    refused(&taken, "cannot serve metrics on 127.0.0.1:");
    refused(&arguments(&bed, "0.0.0.0:0"), "only a loopback address");
    refused(&taken[..2], "--metrics-token");
    refused(&arguments(&bed, "nonsense"), "invalid value 'nonsense'");
    let path = bed.path("token");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&taken, "chmod 600");
    server.stop();
}
