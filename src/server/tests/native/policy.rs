//! The policy file of a running server.

use bd_proto::{Reply, Request};

use super::bed;
use super::logged::Logged;
use rustix::process::Signal;

#[test]
fn a_bad_policy_file_is_refused_at_the_start() {
    let bed = bed();
    let path = bed.path("policy.toml");
    std::fs::write(&path, "[vg.vg0]\nextend_by = \"a lot\"\n").unwrap();
    for (file, said) in [
        (
            "policy.toml",
            "policy.toml, line 2, extend_by: \"a lot\" is neither a size",
        ),
        ("none.toml", "cannot read the policy file"),
    ] {
        let mut command = bed.command("sock", "state");
        let output = command
            .arg("--policy")
            .arg(bed.path(file))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
        assert!(!bed.path("sock").exists());
    }
}

#[test]
fn a_hangup_reads_the_policies_again() {
    let bed = bed();
    let path = bed.path("policy.toml");
    std::fs::write(&path, "[default]\nextend_at = 70\n").unwrap();
    let server = Logged::start(&bed, &["--policy", &path.display().to_string()]);
    server.signal(Signal::HUP);
    server.wait("read the policies anew");
    std::fs::write(&path, "[default]\nextend_at = 70\nextend_buy = \"1G\"\n").unwrap();
    server.signal(Signal::HUP);
    server.wait("policy.toml, line 3, extend_buy: unknown field");
    server.wait("the policies that were read before stay");
    // A host without pools has none to tell of.
    let mut client = server.client();
    client.call(&bed.init()).unwrap();
    client.call(&bed.attach(true)).unwrap();
    assert_eq!(client.call(&Request::Pools).unwrap(), Reply::Pools(vec![]));
    server.stop();
}
