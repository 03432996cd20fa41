//! Services that must run on a host with bricks, and start with it.

use std::os::unix::net::UnixStream;
use std::path::Path;

use bd_proto::{ConnectError, Reply, Request};

use super::{Found, volumes};
use crate::CliError;
use crate::server::ask;
use crate::storage::{Group, run};

/// Where glusterd takes commands (GlusterFS, `DEFAULT_GLUSTERD_SOCKFILE`).
const GLUSTERD: &str = "/var/run/glusterd.socket";
/// It is there while systemd is the host's init (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
const UNITS: [&str; 2] = ["glusterd.service", "gluster-bdd.service"];

pub(super) fn findings(socket: &Path, groups: &[Group]) -> Vec<Found> {
    let group = groups.iter().find(|group| group.holds_brick());
    let volume = volumes::with_brick_here();
    let whose = match (&volume, group) {
        (Some(volume), _) => Some(format!("volume {volume} has a brick here")),
        (None, Some(group)) => Some(format!("volume group {} holds a brick", group.vg)),
        (None, None) => None,
    };
    let mut found: Vec<Found> = server(socket, whose.as_deref()).into_iter().collect();
    let Some(whose) = whose else {
        return found;
    };
    if volume.is_some()
        && let Err(error) = UnixStream::connect(GLUSTERD)
    {
        found.push(Found::new(
            "no_glusterd",
            format!("glusterd does not answer, and {whose}: {GLUSTERD}: {error}"),
            "run: systemctl start glusterd (bricks that run go on meanwhile, but nobody can mount them)",
        ));
    }
    if Path::new(SYSTEMD).exists() {
        let is_enabled = |unit| run("systemctl", &["is-enabled", unit]).is_ok();
        found.extend(
            UNITS
                .into_iter()
                .filter_map(|unit| at_boot(unit, is_enabled(unit))),
        );
    }
    found
}

/// Whether the server answers, and is of this release. Where nobody needs it, `whose` is none, and it need not
/// answer.
fn server(socket: &Path, whose: Option<&str>) -> Option<Found> {
    let release = match ask(socket, &Request::Release) {
        Ok(Reply::Release(release)) => release,
        Ok(_) | Err(CliError::Call(_)) => "an older one".to_owned(),
        Err(CliError::Connect(error @ ConnectError::Unreachable { .. })) => {
            let cause = format!("gluster-bdd does not answer, and {}: {error}", whose?);
            let cure = "run: systemctl start gluster-bdd (bricks that wait for it serve then by \
                        themselves)";
            return Some(Found::new("no_server", cause, cure));
        }
        // Another finding.
        Err(_) => return None,
    };
    volumes::out_of_step(
        "gluster-bdd",
        &release,
        "install one release of both, and run: systemctl restart gluster-bdd",
    )
}

/// Whether a unit starts with the host, and what is to be done if it does not.
fn at_boot(unit: &str, is_enabled: bool) -> Option<Found> {
    let name = unit.trim_end_matches(".service");
    (!is_enabled).then(|| {
        Found::new(
            "not_at_boot",
            format!("{name} does not start with this host, and its bricks would stay down then"),
            format!("run: systemctl enable {name}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_start_with_the_host_is_named() {
        assert_eq!(at_boot("glusterd.service", true), None);
        let text = at_boot("gluster-bdd.service", false)
            .unwrap()
            .settle(true)
            .message;
        assert!(text.starts_with("gluster-bdd does not start"), "{text}");
        assert!(
            text.ends_with("run: systemctl enable gluster-bdd"),
            "{text}"
        );
    }
}
