//! The policy file of a running server.

use std::fs::File;
use std::time::{Duration, Instant};

use super::bed;
use bd_proto::{Client, Reply, Request};
use rustix::process::{Pid, Signal, kill_process};

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
    let log = bed.path("log");
    let mut command = bed.command("sock", "state");
    command.arg("--policy").arg(&path);
    command.stderr(File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let wait = |text: &str| {
        let begun = Instant::now();
        while !std::fs::read_to_string(&log).unwrap().contains(text) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "never said {text:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let signal = |signal| kill_process(pid, signal).unwrap();
    wait("gluster-bdd: ready");
    signal(Signal::HUP);
    wait("read the policies anew");
    std::fs::write(&path, "[default]\nextend_at = 70\nextend_buy = \"1G\"\n").unwrap();
    signal(Signal::HUP);
    wait("policy.toml, line 3, extend_buy: unknown field");
    wait("the policies that were read before stay");
    // A host without pools has none to tell of.
    let mut client = Client::connect(&bed.path("sock"), "test").unwrap();
    client.call(&bed.init()).unwrap();
    client.call(&bed.attach(true)).unwrap();
    assert_eq!(client.call(&Request::Pools).unwrap(), Reply::Pools(vec![]));
    signal(Signal::TERM);
    assert!(child.wait().unwrap().success());
}
