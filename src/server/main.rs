//! The LVM storage server of a host. Runs in the foreground until SIGTERM or SIGINT.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bd_engine::events::{Events, Target};
use bd_engine::thin_pool::Policies;
use bd_server::LogFile;
use bd_server::daemon::{self, Options, Parts};
use bd_server::engines::Installed;
use bd_server::metrics::{Certificate, Commands, Served, Token};
use bd_server::service::Service;
use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// The storage server of gluster-bd: the one owner of LVM on this host
///
/// Runs in the foreground and writes `gluster-bdd: ready on SOCKET` to standard error when it
/// answers; under systemd it notifies its readiness as well. SIGTERM and SIGINT stop it when the
/// requests that are under way are finished. SIGHUP reads the policies of thin pools and the certificate
/// again, and opens the log file again. Open images go on while it is stopped.
#[derive(Debug, Parser)]
#[command(name = "gluster-bdd", version, max_term_width = 100)]
struct Arguments {
    /// Socket to listen on [default: the variable GLUSTER_BDD_SOCKET, or
    /// /run/gluster-bd/gluster-bdd.sock]
    #[arg(long, value_name = "PATH", hide_default_value = true,
          default_value_os_t = bd_proto::socket_path())]
    socket: PathBuf,
    /// Folder of the server's state
    #[arg(long, value_name = "DIR", default_value = "/var/lib/gluster-bd")]
    state_dir: PathBuf,
    /// Policies of thin pools [default: /etc/gluster-bd/policy.toml, if that exists]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Serve metrics for Prometheus (/metrics) and a status page (/) on this address, as in
    /// 127.0.0.1:9465; one that is not loopback wants a certificate
    #[arg(long, value_name = "ADDRESS:PORT", requires = "metrics_token")]
    metrics: Option<SocketAddr>,
    /// File with the token that a client of them must send; for a browser it is the password
    #[arg(long, value_name = "FILE", requires = "metrics")]
    metrics_token: Option<PathBuf>,
    /// File with the certificate to serve them with (TLS), PEM, and those that vouch for it behind it
    #[arg(long, value_name = "FILE", requires_all = ["metrics", "metrics_key"])]
    metrics_cert: Option<PathBuf>,
    /// File with its private key, PEM: RSA, or ECDSA with P-256 or P-384
    #[arg(long, value_name = "FILE", requires = "metrics_cert")]
    metrics_key: Option<PathBuf>,
    /// Where the glustereventsd of this host listens, which passes events on, or off
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = Target::DEFAULT)]
    events: Target,
    /// What to log: error, warn, info, debug, trace or a filter
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// Log to the end of this file, not on standard error; SIGHUP opens it again
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = match EnvFilter::try_new(&arguments.log_level) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("--log-level: {error}")),
    };
    let log = match arguments.log_file.as_deref().map(LogFile::open).transpose() {
        Ok(log) => log,
        Err(error) => return fail(&format!("cannot open the --log-file: {error}")),
    };
    let writer = match &log {
        Some(log) => BoxMakeWriter::new(log.clone()),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let policies = match Policies::load(arguments.policy) {
        Ok(policies) => Arc::new(policies),
        Err(error) => return fail(&error.to_string()),
    };
    let token = arguments.metrics_token.as_deref().map(Token::read);
    let token = match token.transpose() {
        Ok(token) => token,
        Err(error) => return fail(&error.to_string()),
    };
    let certificate = arguments.metrics_cert.zip(arguments.metrics_key);
    let certificate = certificate.map(|(chain, key)| Certificate::read(&chain, &key));
    let certificate = match certificate.transpose() {
        Ok(certificate) => certificate,
        Err(error) => return fail(&error.to_string()),
    };
    let served = arguments.metrics.zip(token).map(|(address, token)| Served {
        address,
        token,
        certificate,
    });
    let options = Options {
        socket: arguments.socket,
        state: arguments.state_dir,
        metrics: served,
    };
    let commands = Commands::default();
    let events = match Events::to(arguments.events) {
        Ok(events) => events,
        Err(error) => return fail(&format!("cannot send events: {error}; try --events off")),
    };
    let engines = Installed::new(Arc::clone(&policies), commands.clone());
    let engines = engines.with_events(events.clone());
    let service = Service::new(Box::new(engines))
        .with_policies(Arc::clone(&policies))
        .with_events(events);
    let parts = Parts {
        service: Arc::new(service),
        policies,
        commands,
        log,
    };
    match runtime.block_on(daemon::run(options, parts)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of a program that cannot run"
)]
fn fail(message: &str) -> ExitCode {
    eprintln!("gluster-bdd: {message}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_manual_is_up_to_date() {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command())
            .section("8")
            .render(&mut page)
            .unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/man/gluster-bdd.8");
        if std::env::var_os("UPDATE_MAN").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read(path).unwrap_or_default();
        assert!(
            written == page,
            "write docs/man anew with UPDATE_MAN=1 cargo test manual"
        );
    }
}
