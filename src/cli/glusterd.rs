//! Whether a host's glusterd answers, and why a volume cannot be had of it.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::CliError;
use crate::context::Context;
use crate::health::missing_on_clients;

/// Where glusterd tells clients of volumes and of the ports of bricks.
const PORT: u16 = 24007;
/// How long a host may take to answer. libgfapi would wait for the kernel: more than a minute.
const LIMIT: Duration = Duration::from_secs(5);

/// Connects to a host's glusterd.
///
/// # Errors
/// Why that cannot be done, in words.
pub(crate) fn reach(host: &str) -> Result<(), String> {
    connect(host, PORT).map_err(|error| cause(&error))
}

/// The error for a volume that libgfapi gives no connection to. libgfapi has few values for all that can go
/// wrong: what they mean is looked for.
pub(crate) fn no_volume(context: &Context, source: gfapi::ConnectError) -> CliError {
    let host = &context.remote_host;
    if let Err(cause) = reach(host) {
        return silent(host, &cause);
    }
    let hint = match (missing_on_clients(), source.source.kind()) {
        (Some(missing), _) => missing,
        (None, io::ErrorKind::NotFound) => "is the name right? (gluster volume list)".to_owned(),
        (None, _) => {
            "is it started, and may this user and host use it? (gluster volume info)".to_owned()
        }
    };
    CliError::Volume {
        source,
        hint,
        log: context.log_file.display().to_string(),
    }
}

/// The error for a host whose glusterd does not answer.
pub(crate) fn silent(host: &str, cause: &str) -> CliError {
    let text = match host {
        "localhost" => format!(
            "cannot ask glusterd of this host: {cause}; run: systemctl start glusterd, or name another host \
             of the volume with --remote-host"
        ),
        host => format!(
            "cannot ask glusterd of {host}: {cause}; is the name right, and does glusterd run there?"
        ),
    };
    CliError::Silent(text)
}

/// Connects to one of the addresses of a host.
fn connect(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "its glusterd does not run".to_owned(),
        io::ErrorKind::TimedOut => format!("no answer within {} s", LIMIT.as_secs()),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_nobody_has_is_refused() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        assert!(connect("127.0.0.1", port).is_ok());
        drop(free);
        let error = connect("127.0.0.1", port).unwrap_err();
        assert_eq!(cause(&error), "its glusterd does not run");
    }
}
