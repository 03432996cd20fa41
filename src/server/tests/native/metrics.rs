//! The metrics of a running server, over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use bd_model::Gfid;
use bd_proto::Request;

use super::bed;
use super::logged::Logged;
use super::refused::refused;
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
        (ask(&address, "GET", "/none", TOKEN), "404"),
        (ask(&address, "GET", "/../metrics", TOKEN), "404"),
        (ask(&address, "GET", "/", "guess"), "401"),
        (ask(&address, "GET", "/status.json", "guess"), "401"),
        (ask(&address, "DELETE", "/status.json", TOKEN), "405"),
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
    let silent: Vec<TcpStream> = (0..64)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    assert!(ask(&address, "GET", "/metrics", TOKEN).starts_with("HTTP/1.1 200"));
    drop(silent);
    client.call(&bed.check()).unwrap();
    server.stop();
}

#[test]
fn the_status_page_shows_bricks_and_their_images() {
    let bed = bed();
    let (server, address) = start(&bed);
    let mut client = server.client();
    let id = brick(client.call(&bed.init())).id;
    brick(client.call(&bed.attach(true)));
    let (gfid, copy) = (Gfid::random(), Gfid::random());
    let name = "<b>&'\"";
    client.call(&bed.create(id, gfid, name)).unwrap();
    bed.image(name, gfid);
    client.call(&Request::Commit { brick: id, gfid }).unwrap();
    client.call(&bed.create(id, copy, "second")).unwrap();

    let page = ask(&address, "GET", "/", TOKEN);
    let head = page.to_ascii_lowercase();
    for words in [
        "http/1.1 200",
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(head.contains(words), "{words}: {page}");
    }
    // With a browser's login: any name, and the token as password.
    let login = "GET /page.js HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \
                 YWRtaW46MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\r\n\r\n";
    let script = talk(&address, login.as_bytes());
    assert!(script.starts_with("HTTP/1.1 200"), "{script}");
    let style = ask(&address, "GET", "/page.css", TOKEN);
    assert!(style.contains("prefers-color-scheme: dark"), "{style}");
    // Nothing comes from elsewhere, and names are never markup.
    for text in [&page, &script, &style] {
        let known = text.replace("http://www.w3.org/2000/svg", "");
        for word in [
            "http://",
            "https://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
        ] {
            assert!(!known.contains(word), "{word}");
        }
        for word in ["style=", "onclick", "<script>", "<style"] {
            assert!(
                !page.contains(word),
                "the policy forbids {word} in the page"
            );
        }
    }

    let answer = ask(&address, "GET", "/status.json", TOKEN);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let status: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(status["pools"], serde_json::json!([]));
    assert_eq!(status["pools_unreadable"], false);
    assert_eq!(status["jobs"], serde_json::json!([]));
    let shown = &status["bricks"][0];
    let dir = bed.path("brick").canonicalize().unwrap();
    assert_eq!(shown["dir"], dir.display().to_string());
    assert_eq!(shown["images"].as_array().unwrap().len(), 2, "{status}");
    assert!(shown["space"]["total"].as_u64().unwrap() > 0);
    let challenge = talk(&address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(challenge.contains("Basic realm="), "{challenge}");
    server.stop();
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    let bed = bed();
    let (server, address) = start(&bed);
    let taken = arguments(&bed, &address);
    refused(&bed, &taken, "cannot serve metrics on 127.0.0.1:");
    refused(
        &bed,
        &arguments(&bed, "0.0.0.0:0"),
        "only a loopback address",
    );
    refused(&bed, &taken[..2], "--metrics-token");
    refused(
        &bed,
        &arguments(&bed, "nonsense"),
        "invalid value 'nonsense'",
    );
    let path = bed.path("token");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&bed, &taken, "chmod 600");
    server.stop();
}
