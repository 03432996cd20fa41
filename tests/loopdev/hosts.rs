//! Hosts of bricks: on one machine, each brick can have a storage server of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::daemon::Daemon;
use crate::rig::Rig;
use crate::sh::{Output, cmd, sh};

/// The program that runs bricks, and where the stock one is while another stands in its place.
const PROGRAM: &str = "/usr/sbin/glusterfsd";
const STOCK: &str = "/usr/lib/gbt/glusterfsd";
/// Files named after bricks, each with the socket of the brick's server.
const SOCKETS: &str = "/run/gluster-bd/hosts";

/// A storage server that some bricks use.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    socket: PathBuf,
    state: PathBuf,
}

impl Rig {
    /// A server for one brick alone, as where each brick is on a host of its own. Start it before the
    /// brick is made.
    pub fn host_of(&mut self, number: usize, brick: &Path) -> Result<Host> {
        fs::create_dir_all(SOCKETS)?;
        if !Path::new(STOCK).exists() {
            stand_in()?;
            self.on_teardown("the program of bricks", || {
                fs::rename(STOCK, PROGRAM).context("cannot put glusterfsd back")
            });
        }
        let name = format!("gluster-bdd-{number}");
        let host = Host {
            socket: Path::new(SOCKETS).join(format!("{number}.sock")),
            state: self.folder(&format!("{name}-state"))?,
            name,
        };
        let known = brick.display().to_string().replace('/', "-");
        fs::write(
            Path::new(SOCKETS).join(known),
            host.socket.display().to_string(),
        )?;
        Ok(host)
    }
}

/// glusterd gives its environment to all bricks alike: so a script takes the server's socket by the
/// brick's name.
fn stand_in() -> Result<()> {
    let script = format!(
        r#"#!/bin/bash
for ((n = 1; n <= $#; n++)); do
	if [ "${{!n}}" = --brick-name ]; then
		n=$((n + 1))
		brick=${{!n}}
		known={SOCKETS}/${{brick//\//-}}
		if [ -e "$known" ]; then
			GLUSTER_BDD_SOCKET=$(<"$known")
			export GLUSTER_BDD_SOCKET
		fi
	fi
done
exec -a "$0" {STOCK} "$@"
"#
    );
    let new = format!("{PROGRAM}.new");
    fs::write(&new, script)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    sh(&format!(
        "mkdir -p \"$(dirname {STOCK})\"; cp -p {PROGRAM} {STOCK}.new; mv {STOCK}.new {STOCK}; \
         mv {new} {PROGRAM}"
    ))?;
    Ok(())
}

impl Host {
    /// The server of all bricks that have none of their own.
    pub fn shared() -> Host {
        Host {
            name: "gluster-bdd".to_owned(),
            socket: bd_proto::socket_path(),
            state: PathBuf::from("/var/lib/gluster-bd"),
        }
    }

    /// Starts the server, and waits until it is ready.
    pub fn start(&self, rig: &mut Rig) -> Result<Daemon> {
        let (socket, state) = (self.socket.to_string_lossy(), self.state.to_string_lossy());
        let args = ["--socket", &socket, "--state-dir", &state];
        rig.daemon(&self.name, "gluster-bdd", &args, "gluster-bdd: ready")
    }

    /// As [`Host::start`]; the server stops itself when it comes to a point of its work.
    pub fn start_stopping(&self, rig: &mut Rig, point: &str) -> Result<Daemon> {
        let (socket, state) = (self.socket.to_string_lossy(), self.state.to_string_lossy());
        let stops = format!("GLUSTER_BDD_FAILPOINT={point}:stop");
        let args = [
            &stops,
            "gluster-bdd",
            "--socket",
            &socket,
            "--state-dir",
            &state,
        ];
        let name = format!("{}-stopping", self.name);
        rig.daemon(&name, "env", &args, "gluster-bdd: ready")
    }

    /// Runs `gluster-bd` for this server. Gives its output whatever its code.
    pub fn gluster_bd(&self, args: &[&str]) -> Result<Output> {
        let socket = self.socket.to_string_lossy();
        cmd("gluster-bd", &[&["--socket", &socket], args].concat())
    }
}
